//! Why this side did not accept a certificate, in more detail than rustls's errors.

use super::{TlsError, x509};
use crate::sync::thread_local;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{cell::Cell, sync::Arc};

thread_local! {
    /// Why the last certificate was refused. rustls calls a verifier on the thread that
    /// does the handshake, and its error has no room for details.
    static REFUSAL: Cell<Option<TlsError>> = const { Cell::new(None) };
}

/// Notes the error that the handshake on this thread is to return.
pub(super) fn note(error: TlsError) {
    REFUSAL.set(Some(error));
}

/// Returns the error that was noted on this thread since the last call.
pub(super) fn take() -> Option<TlsError> {
    REFUSAL.take()
}

/// A verifier that notes by whom a certificate was issued, if that authority is not
/// trusted.
#[derive(Debug)]
pub(super) struct Noting<V: ?Sized>(pub(super) Arc<V>);

fn noted<T>(
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

impl ServerCertVerifier for Noting<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = &self.0;
        let outcome =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        noted(outcome, "server", end_entity)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Noting<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let outcome = self.0.verify_client_cert(end_entity, intermediates, now);
        noted(outcome, "client", end_entity)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
