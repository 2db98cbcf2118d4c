//! PgBouncer in transaction mode between the service and its server: every transaction has another server.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running pooler; it is gone when this is dropped.
pub struct Pooler {
    child: Child,
    port: u16,
    folder: std::path::PathBuf,
}

impl Pooler {
    /// In front of the server of the tests, with as many servers for each database.
    pub fn start(servers: u32) -> Self {
        let server = std::env::var_os("TEST_POSTGRES_URL").unwrap().into_string().unwrap();
        let server = url::Url::parse(&server).unwrap();
        let folder = std::env::temp_dir().join(format!("pay-common-pooler-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        // It takes no 0; who takes this one meanwhile fails the test, and that is said.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (host, to) = (server.host_str().unwrap(), server.port().unwrap_or(5432));
        let user = server.username();
        let password = server
            .password()
            .map(|password| format!(" password='{password}'"))
            .unwrap_or_default();
        let settings = format!(
            "[databases]\n\
             * = host={host} port={to} user={user}{password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {servers}\n\
             min_pool_size = {servers}\n\
             server_round_robin = 1\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("pgbouncer");
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        // It does not run as root.
        if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            command.args(["-u", "nobody"]);
        }
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut pooler = Self { child, port, folder };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = pooler.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(10),
                "{}",
                pooler.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    /// The way through it to a database of the server's.
    pub fn to(&self, database_url: &str) -> String {
        let mut url = url::Url::parse(database_url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
