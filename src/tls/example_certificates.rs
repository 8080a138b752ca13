// A temporary folder with new, self-signed certificates for this machine, each with its
// key: `server` and `client`. Tests and the examples of the documentation include this
// expression, because the package holds no private keys.
{
    let folder = tempfile::tempdir().unwrap();
    for name in ["server", "client"] {
        let names = ["localhost".into(), "127.0.0.1".into()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let path = folder.path().join(name);
        std::fs::write(path.with_extension("pem"), made.cert.pem()).unwrap();
        std::fs::write(path.with_extension("key"), made.signing_key.serialize_pem()).unwrap();
    }
    folder
}
