//! Certificates: making them, and reading what one says. (X.509, RFC 5280.)

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::units::Timestamp;

/// Clocks of other machines may be behind ours by so much.
pub(super) const SKEW_SECONDS: i64 = 3600;

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    /// Without the key, which belongs in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate.len()).finish_non_exhaustive()
    }
}

/// Why a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It cannot be read.
    #[error("{what} cannot be read: {why}")]
    Read {
        /// What of it.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is another certificate's.
    #[error("certificate and key do not belong together: {0}")]
    Mismatch(rustls::Error),
}

fn unreadable(what: &'static str) -> impl Fn(String) -> CertificateError {
    move |why| CertificateError::Read { what, why }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Valid from then.
    pub from: Timestamp,
    /// Valid until then.
    pub until: Timestamp,
    /// DNS names and addresses that it is for, sorted.
    pub names: Vec<String>,
}

impl Facts {
    /// When it was made, of those that are made here.
    #[must_use]
    pub fn made(&self) -> Timestamp {
        self.from.plus(SKEW_SECONDS)
    }
}

fn params(from: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: Timestamp| epoch + Duration::from_secs(u64::try_from(time.0).unwrap_or(0));
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

/// A new authority, for so many seconds from now.
///
/// # Errors
/// When there is no randomness.
pub fn authority(now: Timestamp, seconds: i64) -> Result<Pair, CertificateError> {
    let mut params = params(now.plus(-SKEW_SECONDS), now.plus(seconds));
    params.distinguished_name.push(DnType::CommonName, format!("plumb webhook authority {}", now.0));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    Ok(Pair { certificate: issuer.pem(), key: issuer.key().serialize_pem() })
}

/// A certificate for a server of these names, for so many seconds from now but not longer than its authority's.
///
/// # Errors
/// Where the authority cannot be read, or a name is none.
pub fn leaf(
    authority: &Pair,
    names: &[String],
    now: Timestamp,
    seconds: i64,
) -> Result<Pair, CertificateError> {
    let until = now.plus(seconds).min(facts(&authority.certificate)?.until);
    let mut params = params(now.plus(-SKEW_SECONDS), until);
    params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
    params.distinguished_name.push(DnType::CommonName, "plumb webhook");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What the first certificate of a PEM text says.
///
/// # Errors
/// Where there is none.
pub fn facts(pem: &str) -> Result<Facts, CertificateError> {
    let fail = unreadable("the certificate");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| fail(error.to_string()))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| fail(error.to_string()))?;
    let validity = certificate.validity();
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let general = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut names: Vec<_> = general.iter().filter_map(name).collect();
    names.sort_unstable();
    Ok(Facts {
        from: Timestamp(validity.not_before.timestamp()),
        until: Timestamp(validity.not_after.timestamp()),
        names,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => {
                <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

/// Ready to be served.
///
/// # Errors
/// Where certificate or key cannot be read, or do not belong together.
pub fn certified(pair: &Pair) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain: Vec<_> =
        chain.collect::<Result<_, _>>().map_err(|error| unreadable("the certificate")(error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("the certificate")("there is none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|error| unreadable("the key")(error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(CertificateError::Mismatch)
}

/// True where a client that trusts the authorities of `trusted` takes the certificate, by its own names.
#[must_use]
pub fn trusts(trusted: &str, certificate: &str, now: Timestamp) -> bool {
    let names = facts(certificate).map(|facts| facts.names).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(trusted.as_bytes()).flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (Ok(verifier), Ok(leaf)) = (verifier, CertificateDer::from_pem_slice(certificate.as_bytes())) else {
        return false;
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.0).unwrap_or(0)));
    let takes = |name: &String| {
        let name = ServerName::try_from(name.as_str());
        name.is_ok_and(|name| verifier.verify_server_cert(&leaf, &[], &name, &[], now).is_ok())
    };
    !names.is_empty() && names.iter().all(takes)
}
