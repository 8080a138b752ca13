//! Where certificates come from: files of any name, memory, and the operating system.

use super::{
    in_time,
    pair::{ca, certs, client, meet},
    support::process::{Other, role, tell},
};
use std::fs;
#[cfg(feature = "system-roots")]
use std::path::Path;
use wirenet::{Certificates, TlsClient, TlsServer, load_certificates, tls::rustls};

fn read(name: &str) -> Vec<u8> {
    fs::read(certs().join(name)).unwrap()
}

/// Asserts that both are the certificate of `certs/server.pem`, with its key.
#[track_caller]
fn assert_is_the_server(loaded: Certificates) {
    let expected = load_certificates("server", certs()).unwrap().fingerprint();
    assert_eq!(loaded.fingerprint(), expected);
    let (near, far) = meet((client(), TlsServer::new(loaded).unwrap()));
    near.unwrap();
    far.unwrap();
}

#[test]
fn a_certificate_and_its_key_may_have_any_names() {
    in_time(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::copy(certs().join("server.pem"), path("fullchain.pem")).unwrap();
        fs::copy(certs().join("server.key"), path("privkey.pem")).unwrap();
        let loaded = Certificates::from_files(path("fullchain.pem"), path("privkey.pem"));
        assert_is_the_server(loaded.unwrap());
    });
}

#[test]
fn a_certificate_and_its_key_may_be_in_memory() {
    in_time(|| {
        let loaded = Certificates::from_pem(read("server.pem"), read("server.key"));
        assert_is_the_server(loaded.unwrap());
    });
}

#[test]
fn one_pem_may_hold_both_in_either_order() {
    in_time(|| {
        let (chain, key) = (read("server.pem"), read("server.key"));
        let file = tempfile::NamedTempFile::new().unwrap();
        for both in [[&chain[..], &key].concat(), [&key[..], &chain].concat()] {
            assert_is_the_server(Certificates::from_pem(&both, &both).unwrap());
            fs::write(&file, both).unwrap();
            assert_is_the_server(Certificates::from_files(&file, &file).unwrap());
        }
    });
}

#[test]
fn editors_may_write_a_byte_order_mark_and_other_line_ends() {
    in_time(|| {
        for ends in ["\r\n", "\r", " \n"] {
            let edited = |name: &str| {
                let text = String::from_utf8(read(name)).unwrap();
                format!("\u{feff}a comment\n{text}").replace('\n', ends)
            };
            let loaded = Certificates::from_pem(edited("server.pem"), edited("server.key"));
            assert_is_the_server(loaded.unwrap());
        }
    });
}

#[test]
fn authorities_may_be_in_memory() {
    in_time(|| {
        let ca = fs::read_to_string(ca()).unwrap();
        let server = TlsServer::new(load_certificates("server", certs()).unwrap()).unwrap();
        let server = server.client_ca_pem(&ca).unwrap();
        let client = TlsClient::with_ca_pem(ca).unwrap();
        let shown = load_certificates("client", certs()).unwrap();
        let (near, far) = meet((client.certificate(shown).unwrap(), server));
        near.unwrap();
        far.unwrap();
    });
}

#[cfg(feature = "system-roots")]
#[test]
fn the_authorities_of_the_system_are_those_of_ssl_cert_file() {
    const NAME: &str = "the_authorities_of_the_system_are_those_of_ssl_cert_file";
    if role().is_some() {
        let outcome = TlsClient::system_roots().map_err(|error| error.to_string());
        let server = || TlsServer::new(load_certificates("server", certs()).unwrap()).unwrap();
        let outcome = outcome.map(|client| meet((client, server())).0.is_ok());
        return tell(format!("{outcome:?}")).unwrap();
    }
    in_time(|| {
        let told = |file: &Path| {
            let test = format!("loading::{NAME}");
            let variables = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", Path::new(""))];
            Other::start_with(&test, "child", &variables)
                .unwrap()
                .told()
        };
        assert_eq!(told(&ca()), "Ok(true)");
        let missing = told(&certs().join("missing.pem"));
        for part in ["Err", "0 certificates", "missing.pem", "ca-certificates"] {
            assert!(missing.contains(part), "{missing}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let pem = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        fs::write(&file, pem).unwrap();
        let invalid = told(file.path());
        assert!(invalid.contains("1 certificates"), "{invalid}");
    });
}

#[test]
fn keys_are_never_logged_unless_the_program_configures_it() {
    const NAME: &str = "keys_are_never_logged_unless_the_program_configures_it";
    if let Some(role) = role() {
        let mut client = client();
        if role == "configured" {
            let ring = rustls::crypto::ring::default_provider();
            let mut config = super::fixtures::client_config(ring);
            config.key_log = std::sync::Arc::new(rustls::KeyLogFile::new());
            client = std::sync::Arc::new(config).into();
        }
        let server = TlsServer::new(load_certificates("server", certs()).unwrap()).unwrap();
        for client in [client, TlsClient::dangerous_without_verification()] {
            meet((client, server.clone())).0.unwrap();
        }
        return tell("connected").unwrap();
    }
    in_time(|| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        for (role, exists) in [("default", false), ("configured", true)] {
            let test = format!("loading::{NAME}");
            let other = Other::start_with(&test, role, &[("SSLKEYLOGFILE", &file)]).unwrap();
            assert_eq!(other.told(), "connected");
            assert_eq!(file.exists(), exists, "{role}");
        }
    });
}
