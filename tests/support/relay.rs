//! A TCP relay on the way to somebody. What it carries can fall silent for ever, as after a freeze in which a firewall forgot it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The relay; its connections are gone when it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    /// How often all that stood fell silent.
    silences: Arc<watch::Sender<u32>>,
    listening: Option<JoinHandle<()>>,
    to: SocketAddr,
}

impl Relay {
    /// One that does not listen yet: who connects is refused.
    pub async fn shut(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            silences: Arc::default(),
            listening: None,
            to,
        }
    }

    /// Takes connections from now on.
    pub fn open(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        let (silences, to) = (Arc::clone(&self.silences), self.to);
        self.listening = Some(tokio::spawn(async move {
            let mut carried = tokio::task::JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                carried.spawn(carry(from, to, silences.subscribe()));
            }
        }));
    }

    /// Every connection that stands says nothing any more, and is not closed; new ones are carried.
    pub fn silence_what_stands(&self) {
        self.silences.send_modify(|count| *count += 1);
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, mut silences: watch::Receiver<u32>) {
    let Ok(mut there) = TcpStream::connect(to).await else {
        return;
    };
    tokio::select! {
        _ended = tokio::io::copy_bidirectional(&mut from, &mut there) => {}
        _silent = silences.changed() => {
            drop(there);
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}
