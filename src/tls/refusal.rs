//! Why this side did not accept a certificate, in more detail than rustls's errors.

use super::{TlsError, x509};
use rustls::{CertificateError, Error, pki_types::CertificateDer};
use std::cell::Cell;

std::thread_local! {
    /// Why the last certificate was refused. rustls calls a verifier on the thread that
    /// does the handshake, and its error has no room for details.
    static REFUSAL: Cell<Option<TlsError>> = const { Cell::new(None) };
}

/// Notes the error that the handshake on this thread is to return.
pub(super) fn note(error: TlsError) {
    // Fails only in a thread that is about to end. The error then has less detail.
    let _ = REFUSAL.try_with(|refusal| refusal.set(Some(error)));
}

/// Returns the error that was noted on this thread since the last call.
pub(super) fn take() -> Option<TlsError> {
    // Fails only in a thread that is about to end, which has noted nothing.
    REFUSAL.try_with(Cell::take).ok().flatten()
}

/// Notes by whom a certificate of `peer` was issued, if that authority is not trusted.
pub(super) fn noted<T>(
    outcome: Result<T, Error>,
    peer: &'static str,
    certificate: &CertificateDer<'_>,
) -> Result<T, Error> {
    if let Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) = outcome
        && let Some(names) = x509::names(certificate)
    {
        note(TlsError::UnknownIssuer {
            peer,
            subject: names.subject,
            issuer: names.issuer,
        });
    }
    outcome
}
