//! A gate on the way to somebody: a TCP proxy that can be shut, or cut a connection at any place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the gate does with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Nobody listens: connections are refused.
    Shut,
    /// A connection is reset before a byte of it was read.
    ResetAtOnce,
    /// What is sent arrives nowhere, and nothing comes back.
    Silent,
    /// What is sent arrives, and the connection is reset at the first byte of the answer.
    ResetAtAnswer,
    /// The same after so many bytes of the answer.
    ResetWithin(usize),
}

/// The gate; connections that stand are reset whenever its way changes, and when it is dropped.
pub struct Gate {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    target: Arc<Mutex<Option<SocketAddr>>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Gate {
    /// An open gate that leads nowhere yet.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap(),
            way: watch::Sender::new(Way::Open),
            target: Arc::default(),
            accepting: Mutex::default(),
        };
        gate.accept(listener);
        gate
    }

    pub async fn before(target: SocketAddr) -> Self {
        let gate = Self::open().await;
        gate.leads_to(target);
        gate
    }

    /// Whom new connections are led to from now on.
    pub fn leads_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }

    pub async fn set(&self, way: Way) {
        let listening = self.accepting.lock().unwrap().take();
        if let Some(listening) = listening {
            listening.abort();
            drop(listening.await);
        }
        self.way.send_replace(way);
        if way != Way::Shut {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.accept(listener);
        }
    }

    fn accept(&self, listener: TcpListener) {
        let (way, target) = (self.way.clone(), Arc::clone(&self.target));
        let accepting = tokio::spawn(async move {
            while let Ok((came, _)) = listener.accept().await {
                let mut changes = way.subscribe();
                let (now, target) = (*changes.borrow_and_update(), *target.lock().unwrap());
                tokio::spawn(async move {
                    came.set_nodelay(true).unwrap();
                    // Closing it is a reset, not a polite end.
                    came.set_zero_linger().unwrap();
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = pass(came, target, now) => {}
                    }
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
    }
}

/// Leads one connection; it is reset when this returns.
async fn pass(came: TcpStream, target: Option<SocketAddr>, way: Way) {
    if matches!(way, Way::Shut | Way::ResetAtOnce) {
        return;
    }
    let Some(target) = target else { return };
    let Ok(goes) = TcpStream::connect(target).await else {
        return;
    };
    goes.set_nodelay(true).unwrap();
    let (mut from, mut back) = came.into_split();
    let (mut answers, mut to) = goes.into_split();
    let there = async {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            if way != Way::Silent && to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let here = async {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = answers.read(&mut bytes).await {
            let passes = match way {
                Way::ResetAtAnswer => return,
                Way::ResetWithin(most) => read.min(most),
                Way::Open | Way::Shut | Way::ResetAtOnce | Way::Silent => read,
            };
            if back.write_all(&bytes[..passes]).await.is_err() || matches!(way, Way::ResetWithin(_)) {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = here => {}
    }
}
