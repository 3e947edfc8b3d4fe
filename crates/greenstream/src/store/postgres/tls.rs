//! Encrypted connections, where `sslmode` asks for them: always with the server's certificate checked.
//!
//! `require`, `verify-ca` and `verify-full` all check certificate and name, which libpq does only for the
//! last: an encrypted connection to anybody keeps no secret. `prefer` and nothing are `disable`, for the same
//! reason. `sslrootcert=FILE` names certificates to trust beside those of the system.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::server::ServerError;

/// Whom to trust: the system's certificates and those of a file.
pub(super) fn trusting(root_file: Option<&Path>) -> Result<ClientConfig, ServerError> {
    let mut roots = RootCertStore::empty();
    // a system without any is no fault where a file has some
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = root_file {
        let failed =
            |problem: String| ServerError::Certificates { file: file.display().to_string(), problem };
        let opened = File::open(file).map_err(|error| failed(error.to_string()))?;
        for certificate in CertificateDer::pem_reader_iter(BufReader::new(opened)) {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ServerError::Url(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
