//! TLS as `libpq` has it: what `sslmode` asks for, whom to trust, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postgres::config::{SslMode, SslNegotiation};
use restow_store::{Environment, Error, ErrorKind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::conninfo::Params;
use super::passfile::is_private;
use super::trust::Trust;

const OPERATION: &str = "set up TLS";

/// Whether and how connections are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: MakeRustlsConnect,
    pub(super) negotiation: SslNegotiation,
    attempts: &'static [SslMode],
}

impl Tls {
    /// Reads what parameters ask for, and the files that they name.
    pub(super) fn new(params: &Params, environment: &Environment) -> Result<Self> {
        let files = Files { params, environment };
        let system = params.get("sslrootcert").is_some_and(|name| name == "system");
        let default = if system { "verify-full" } else { "prefer" };
        let mode = params.get("sslmode").map_or(default, String::as_str);
        // The library's own `prefer` goes on in the clear where the server offers no TLS.
        let attempts: &[SslMode] = match mode {
            "disable" => &[SslMode::Disable],
            "allow" => &[SslMode::Disable, SslMode::Require],
            "prefer" => &[SslMode::Prefer, SslMode::Disable],
            "require" | "verify-ca" | "verify-full" => &[SslMode::Require],
            _ => {
                return Err(invalid(
                    "sslmode",
                    "disable allow prefer require verify-ca verify-full",
                ));
            }
        };
        if system && mode != "verify-full" {
            let message = "sslrootcert=system trusts many; it needs sslmode=verify-full";
            return Err(Error::new(ErrorKind::Invalid, OPERATION, message));
        }
        let negotiation = match params.get("sslnegotiation").map(String::as_str) {
            None | Some("postgres") => SslNegotiation::Postgres,
            Some("direct") if attempts == [SslMode::Require] => SslNegotiation::Direct,
            Some("direct") => return Err(invalid("sslmode", "require verify-ca verify-full")),
            Some(_) => return Err(invalid("sslnegotiation", "postgres direct")),
        };
        let roots = match mode {
            "disable" => None,
            _ if system => Some(system_roots()?),
            _ => files.roots(mode.starts_with("verify"))?,
        };
        let identity = if mode == "disable" { None } else { files.identity()? };
        let crypto = Arc::new(ring::default_provider());
        let mut config = client(&crypto, roots, mode == "verify-full", identity)?;
        if negotiation == SslNegotiation::Direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Self { connector: MakeRustlsConnect::new(config), negotiation, attempts })
    }

    /// Returns the modes to try, one after the other; a server's socket is never encrypted.
    pub(super) fn attempts(&self, is_socket: bool) -> &'static [SslMode] {
        if is_socket { &[SslMode::Disable] } else { self.attempts }
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client(
    crypto: &Arc<CryptoProvider>,
    roots: Option<Vec<CertificateDer<'static>>>,
    is_name_checked: bool,
    identity: Option<Identity>,
) -> Result<ClientConfig> {
    let wrong = |error: rustls::Error| {
        let message = "the certificates or the key cannot be used";
        Error::new(ErrorKind::Invalid, OPERATION, message).because(error)
    };
    let chain = roots.map(|roots| chain(&roots, crypto).map(|chain| (chain, roots)));
    let trust = Trust::new(crypto.clone(), chain.transpose()?, is_name_checked);
    let config = ClientConfig::builder_with_provider(crypto.clone())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).map_err(wrong),
        None => Ok(config.with_no_client_auth()),
    }
}

fn chain(
    roots: &[CertificateDer<'static>],
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), crypto.clone()).build().map_err(
        |error| {
            let message = "no certificate of the file named by sslrootcert can be used";
            Error::new(ErrorKind::Invalid, OPERATION, message).because(error)
        },
    )
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let message = "this machine has no root certificates; name a file with sslrootcert";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, message));
    }
    Ok(found.certs)
}

/// The files that parameters name, or else those in `~/.postgresql`.
struct Files<'a> {
    params: &'a Params,
    environment: &'a Environment,
}

impl Files<'_> {
    fn path(&self, parameter: &str, name: &str) -> Option<PathBuf> {
        if let Some(path) = self.params.get(parameter) {
            return Some(path.into());
        }
        let home = self.environment.get("HOME")?;
        Some(Path::new(home).join(".postgresql").join(name))
    }

    /// Returns whom to trust. As with `libpq`, a file that is there is used in every mode.
    fn roots(&self, is_needed: bool) -> Result<Option<Vec<CertificateDer<'static>>>> {
        match self.path("sslrootcert", "root.crt") {
            Some(path) if path.exists() => certificates(&path).map(Some),
            path if is_needed => {
                let message = "there is no file of root certificates; name one with sslrootcert, \
                               or say sslrootcert=system";
                let error = Error::new(ErrorKind::NotFound, OPERATION, message);
                Err(match path {
                    Some(path) => error.with("file", path.display().to_string()),
                    None => error,
                })
            }
            _ => Ok(None),
        }
    }

    fn identity(&self) -> Result<Option<Identity>> {
        let certificate = self.path("sslcert", "postgresql.crt").filter(|path| path.exists());
        let key = self.path("sslkey", "postgresql.key");
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let problem = |kind, message: &str| {
            Error::new(kind, OPERATION, message).with("file", key.display().to_string())
        };
        if !key.exists() {
            return Err(problem(ErrorKind::NotFound, "the certificate's private key is missing"));
        }
        if !is_private(&key) {
            let message = "others may read the private key; chmod 600 it";
            return Err(problem(ErrorKind::Credentials, message));
        }
        let read = PrivateKeyDer::from_pem_file(&key).map_err(|error| {
            let message = "the private key cannot be read; it has to be in PEM, not encrypted";
            problem(ErrorKind::Invalid, message).because(error)
        })?;
        Ok(Some((certificates(&certificate)?, read)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = || {
        let message = "the certificates cannot be read; they have to be in PEM";
        let error = Error::new(ErrorKind::Invalid, OPERATION, message);
        error.with("file", path.display().to_string())
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong().because(error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong().because(error))?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

fn invalid(parameter: &'static str, known: &str) -> Error {
    Error::new(ErrorKind::Invalid, OPERATION, "a parameter has a value that is not known")
        .with("parameter", parameter)
        .with("known", known)
}
