//! Certificates and keys that cannot be read.

use super::{
    table::row,
    tls::pair::{certs, server},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wirenet::{
    Certificates, TlsClient, TlsError, load_certificates,
    tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// A folder of files to read.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(certs().join(name)).unwrap()
}

fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> TlsError {
    Certificates::from_files(chain, key).unwrap_err()
}

/// The error of a chain, given as bytes.
fn chain(bytes: impl AsRef<[u8]>) -> TlsError {
    Certificates::from_pem(bytes, read("server.key")).unwrap_err()
}

/// The error of a key, given as bytes.
fn key(bytes: impl AsRef<[u8]>) -> TlsError {
    Certificates::from_pem(read("server.pem"), bytes).unwrap_err()
}

/// The DER of the first section.
fn der(pem: &str) -> Vec<u8> {
    match CertificateDer::from_pem_slice(pem.as_bytes()) {
        Ok(certificate) => certificate.to_vec(),
        Err(_) => {
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            key.secret_der().to_vec()
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = Folder::new();
    let (missing, dir) = (folder.0.path().join("missing.pem"), folder.0.path());
    row(
        "a missing file",
        from_files(&missing, "server.key"),
        &["missing.pem", "(os error 2)", "check the path"],
    );
    #[cfg(unix)]
    row(
        "a directory",
        TlsClient::with_ca(dir).unwrap_err(),
        &[dir.to_str().unwrap(), "give a file"],
    );
    let empty = folder.write("empty.pem", "");
    row(
        "an empty file",
        TlsClient::with_ca(&empty).unwrap_err(),
        &["empty.pem", "no certificate", "it is empty"],
    );
    row(
        "an empty key",
        from_files(certs().join("server.pem"), empty),
        &["empty.pem", "no private key", "it is empty"],
    );
    row(
        "the name of a relative path that does not exist",
        load_certificates("server", "no/folder").unwrap_err(),
        &["server.pem", "(os error", "working directory"],
    );
}

#[test]
fn files_that_hold_something_else_are_named_with_what_they_hold() {
    let folder = Folder::new();
    let swapped = from_files(certs().join("server.key"), certs().join("server.pem"));
    row(
        "the key in place of the certificate",
        swapped,
        &["server.key", "no certificate", "a private key (line 1)"],
    );
    row(
        "the certificate in place of the key",
        from_files(certs().join("server.pem"), certs().join("server.pem")),
        &["server.pem", "no private key", "a certificate (line 1)"],
    );
    row(
        "the key of an authority in place of its certificate",
        server().client_ca(certs().join("server.key")).unwrap_err(),
        &["server.key", "no certificate", "a private key (line 1)"],
    );
    let both = folder.write("both.pem", read("server.key") + &read("server.pem"));
    Certificates::from_files(&both, &both).unwrap();
    row(
        "a certificate in DER",
        TlsClient::with_ca(folder.write("ca.der", der(&read("ca.pem")))).unwrap_err(),
        &["ca.der", "it is DER, not PEM", "openssl x509 -inform der"],
    );
    row(
        "a key in DER",
        key(der(&read("server.key"))),
        &["<key>", "it is DER, not PEM", "openssl pkey -inform der"],
    );
    row(
        "a certificate request",
        chain("a\nb\n-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"),
        &["<chain>", "a certificate request (line 3)"],
    );
    row("text", chain("hello"), &["<chain>", "no line begins with"]);
    row(
        "indented PEM",
        TlsClient::with_ca_pem(read("ca.pem").replace("-----BEGIN", "  -----BEGIN")).unwrap_err(),
        &["<ca>", "line 1", "not at its start"],
    );
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(read("server.pem").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    row("UTF-16", chain(utf16), &["UTF-16"]);
}

#[test]
fn damaged_pem_is_named_with_its_line() {
    let whole = read("server.pem");
    row(
        "a certificate whose end is missing",
        chain(whole.replace("-----END CERTIFICATE-----", "")),
        &["`-----END CERTIFICATE-----` is missing", "begins in line 1"],
    );
    row(
        "a certificate whose end is missing, before another",
        chain(whole.replace("-----END CERTIFICATE-----", "") + &whole),
        &["`-----END CERTIFICATE-----` is missing", "begins in line 1"],
    );
    row(
        "a certificate with a damaged line",
        chain(format!("comment\n{}", whole.replacen("\nMII", "\nM{I", 1))),
        &["line 3 is not base64"],
    );
    row(
        "a certificate that lacks characters",
        chain(whole.replacen("\nMII", "\nMI", 1)),
        &["begins in line 1", "complete"],
    );
    row(
        "a first line that is damaged",
        chain(whole.replace("CERTIFICATE-----\nMII", "CERTIFICATE---\nMII")),
        &["line 1", "does not end with `-----`"],
    );
    row(
        "base64 that is no certificate",
        chain("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        &["<chain>", "not a certificate of X.509"],
    );
    row(
        "base64 that is no key",
        key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        &["<key>", "damaged", "RSA, ECDSA"],
    );
}

/// A wrong file may be of any size, and hold anything.
#[test]
fn messages_about_large_files_are_short() {
    let many: String = (0..20_000)
        .map(|number| format!("-----BEGIN X{number}-----\n-----END X{number}-----\n"))
        .collect();
    let long = "X".repeat(1 << 20);
    for (input, text, expected) in [
        (
            "many kinds of sections",
            many,
            "and other sections (line 9)",
        ),
        (
            "a long label",
            format!("-----BEGIN {long}-----\n-----END {long}-----\n"),
            "a section",
        ),
        (
            "a long label without an end",
            format!("-----BEGIN {long}-----\n"),
            "is missing",
        ),
        (
            "1 MB of something else",
            long.clone(),
            "no line begins with",
        ),
    ] {
        let error = chain(&text);
        row(input, &error, &[expected]);
        assert!(error.to_string().len() < 500, "{input}");
    }
    #[cfg(target_os = "linux")]
    row(
        "a file without an end",
        from_files("/dev/zero", "/dev/zero"),
        &["/dev/zero: it has more than 16 MiB", "is no PEM"],
    );
}

#[test]
fn a_key_without_its_line_breaks_is_not_shown() {
    let secret = read("server.key");
    let body = secret.lines().nth(1).unwrap();
    for pem in [
        secret.replace('\n', ""),
        secret.replacen("KEY-----\n", "KEY----", 1),
        secret.replacen("KEY-----\n", "KEY", 1),
    ] {
        let error = key(&pem);
        row("a key in one line", &error, &["<key>", "line 1"]);
        let all = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!all.contains(&body[..8]), "{all}");
        let bytes = format!("{:?}", &body.as_bytes()[..8]);
        assert!(!all.contains(bytes.trim_matches(['[', ']'])), "{all}");
    }
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for pem in [encrypted, old] {
        row(
            "an encrypted key",
            key(pem),
            &["<key>", "line 1 is encrypted", "openssl pkey"],
        );
    }
    row(
        "the key of another certificate",
        from_files(certs().join("server.pem"), certs().join("client.key")),
        &["client.key", "does not belong to the certificate"],
    );
    row(
        "a chain that begins with the authority",
        chain(read("ca.pem") + &read("server.pem")),
        &["<chain>", "must be the first one, but is number 2"],
    );
}
