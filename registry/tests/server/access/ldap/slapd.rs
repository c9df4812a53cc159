//! `OpenLDAP`'s server in a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::programs;

/// The password of the registry's account.
pub(super) const ACCOUNT: &str = "secret of search";

/// Binds with an empty password succeed, as in many directories. Only the account can read entries.
const CONFIG: &str = "\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
allow bind_anon_cred bind_anon_dn
TLSCertificateFile FOLDER/server.crt
TLSCertificateKeyFile FOLDER/server.key
database ldif
suffix dc=site
directory FOLDER/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=cn=search,dc=site read by * none
";

const USERS: [(&str, &str); 7] = [
    ("ann", "people"),
    ("bob", "people"),
    ("carol", "people"),
    ("admin", "people"),
    ("blank", "people"),
    ("twin", "people"),
    ("twin", "others"),
];

pub(super) struct Slapd {
    folder: tempfile::TempDir,
    child: Option<Child>,
    ports: (u16, u16),
    pub(super) ca: String,
}

/// A CA, and its certificate.
pub(super) fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("no key");
    let pem = params.self_signed(&key).expect("no CA").pem();
    (Issuer::new(params, key), pem)
}

fn entries() -> String {
    let mut text =
        "dn: dc=site\nobjectClass: dcObject\nobjectClass: organization\no: site\ndc: site\n\n".to_owned();
    for unit in ["people", "others", "groups"] {
        text += &format!("dn: ou={unit},dc=site\nobjectClass: organizationalUnit\nou: {unit}\n\n");
    }
    text += "dn: cn=search,dc=site\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: search\n";
    text += &format!("userPassword: {ACCOUNT}\n\n");
    for (name, unit) in USERS {
        text += &format!(
            "dn: uid={name},ou={unit},dc=site\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        );
        if name != "blank" {
            text += &format!("userPassword: secret of {name}\n");
        }
        text += "\n";
    }
    for (group, member) in [("devs", "ann"), ("ops", "bob")] {
        text += &format!("dn: cn={group},ou=groups,dc=site\nobjectClass: groupOfNames\ncn: {group}\n");
        text += &format!("member: uid={member},ou=people,dc=site\n\n");
    }
    text
}

/// Debian installs it where only root searches.
fn program() -> Command {
    let usual = Path::new("/usr/sbin/slapd");
    if usual.exists() { Command::new(usual) } else { Command::new(programs::program("slapd")) }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("no address").port()
}

impl Slapd {
    /// A server with entries; `None` if it is not installed.
    pub(super) fn start() -> Option<Self> {
        if program().arg("-VV").stderr(Stdio::null()).status().is_err() {
            programs::missing("slapd");
            return None;
        }
        let folder = tempfile::tempdir().expect("no folder");
        let path = folder.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("not written");
        let (issuer, ca) = authority();
        let key = KeyPair::generate().expect("no key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("no parameters");
        write("server.crt", &params.signed_by(&key, &issuer).expect("no certificate").pem());
        write("server.key", &key.serialize_pem());
        write("slapd.conf", &CONFIG.replace("FOLDER", &path.display().to_string()));
        write("entries.ldif", &entries());
        std::fs::create_dir(path.join("data")).expect("no folder");
        let add = program()
            .args(["-T", "add", "-f"])
            .arg(path.join("slapd.conf"))
            .arg("-l")
            .arg(path.join("entries.ldif"))
            .output()
            .expect("slapd does not start");
        assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
        let mut slapd = Self { folder, child: None, ports: (free_port(), free_port()), ca };
        slapd.run();
        Some(slapd)
    }

    /// Starts the server again.
    pub(super) fn run(&mut self) {
        let child = program()
            .args(["-d", "0", "-h", &format!("{} {}", self.plain(), self.secure()), "-f"])
            .arg(self.folder.path().join("slapd.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("slapd does not start"));
        let started = Instant::now();
        while [self.ports.0, self.ports.1]
            .iter()
            .any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err())
        {
            assert!(started.elapsed() < Duration::from_secs(30), "slapd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn plain(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.ports.0)
    }

    pub(super) fn secure(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.ports.1)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}
