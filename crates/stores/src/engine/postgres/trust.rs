//! Whom to trust: a server's certificate, judged as far as `sslmode` asks for it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Judges certificates: none without roots, the chain with them, the host's name where asked.
#[derive(Debug)]
pub(super) struct Trust {
    crypto: Arc<CryptoProvider>,
    roots: Option<(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>)>,
    is_name_checked: bool,
}

impl Trust {
    /// Makes a judge.
    pub(super) fn new(
        crypto: Arc<CryptoProvider>,
        roots: Option<(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>)>,
        is_name_checked: bool,
    ) -> Self {
        Self { crypto, roots, is_name_checked }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((chain, roots)) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        // A certificate that signed itself is no authority's, and many servers have one.
        let is_root = roots.iter().any(|root| **root == **certificate);
        let judged = match is_root {
            true => verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
                .map(|()| ServerCertVerified::assertion()),
            false => chain.verify_server_cert(certificate, between, name, ocsp, now),
        };
        match judged {
            // The name is looked at last: everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.is_name_checked => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.crypto.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.crypto.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
