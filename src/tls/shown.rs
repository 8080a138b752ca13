//! The certificate that this side shows to its peers, which can be replaced.

use super::Certificates;
use crate::sync::Mutex;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{fmt, mem, sync::Arc};

/// A certificate with its key, shown in every handshake that begins after it was set.
pub(super) struct ShownCertificate(Mutex<Arc<CertifiedKey>>);

impl ShownCertificate {
    pub(super) fn new(certificates: Certificates) -> Arc<Self> {
        Arc::new(Self(Mutex::new(certificates.0)))
    }

    pub(super) fn replace(&self, certificates: Certificates) {
        let old = mem::replace(&mut *self.0.lock(), certificates.0);
        // Outside of the lock: this may free the key.
        drop(old);
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.lock())
    }
}

impl fmt::Debug for ShownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownCertificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for ShownCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
