//! Certificates and keys in PEM (RFC 7468), and what is wrong with a file that has none.

use super::{TlsError, explain::escaped};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};
use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
    sync::Arc,
};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// The byte order mark of UTF-8, which some editors write.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The most bytes of a file. The authorities of an operating system take 300 KB. A file that
/// is not PEM may have no end, such as `/dev/zero`.
const MAX_FILE: u64 = 16 << 20;

/// The most kinds of sections that an error lists.
const SHOWN_KINDS: usize = 4;

/// The most characters of a label that an error shows.
const SHOWN_LABEL: usize = 64;

/// PEM that was read from a file or given as bytes.
pub(super) struct Pem<'a> {
    /// The file, or a name for the bytes.
    pub(super) path: &'a Path,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Pem<'a> {
    pub(super) fn read(path: &'a Path) -> Result<Self, TlsError> {
        let bytes = read(path).map_err(|error| TlsError::File {
            path: path.into(),
            cause: Arc::new(error),
        })?;
        let bytes = bytes.into();
        Ok(Self { path, bytes })
    }

    pub(super) fn given(name: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            path: Path::new(name),
            bytes: bytes.into(),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.strip_prefix(BOM).unwrap_or(&self.bytes)
    }

    /// Returns all certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let sections = self.sections()?;
        let certificates = sections.iter().filter(|section| section.is_certificate());
        let chain: Vec<_> = certificates
            .map(|section| self.decoded(section))
            .collect::<Result<_, _>>()?;
        if chain.is_empty() {
            let (path, found) = (
                self.path.into(),
                self.found(&sections, "x509", "certificate"),
            );
            return Err(TlsError::NoCertificate { path, found });
        }
        Ok(chain)
    }

    /// Returns the first key that is not encrypted.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let sections = self.sections()?;
        if let Some(section) = sections.iter().find(|section| section.is_key()) {
            return self.decoded(section);
        }
        let found = match sections.iter().find(|section| section.is_encrypted) {
            Some(encrypted) => format!(
                "the one in line {} is encrypted; decrypt it with `openssl pkey -in ENCRYPTED \
                 -out DECRYPTED`",
                encrypted.line
            ),
            None => self.found(&sections, "pkey", "private key"),
        };
        let path = self.path.into();
        Err(TlsError::NoKey { path, found })
    }

    /// Says what there is instead of what was expected, and what to do. `command` is
    /// OpenSSL's command that reads it.
    fn found(&self, sections: &[Section], command: &str, expected: &str) -> String {
        let found = match sections {
            [] => without_sections(self.bytes()),
            sections => format!("it holds {}", list(sections)),
        };
        match self.bytes() {
            // A sequence of ASN.1.
            [0x30, 0x80..=0x84, ..] => format!(
                "it is DER, not PEM; convert it with `openssl {command} -inform der -in DER -out PEM`"
            ),
            _ => format!("{found}; give PEM that holds a {expected}"),
        }
    }

    fn sections(&self) -> Result<Vec<Section>, TlsError> {
        sections(self.bytes()).map_err(|error| self.invalid(error.reason(), error.cause()))
    }

    fn decoded<T: PemObject>(&self, section: &Section) -> Result<T, TlsError> {
        let bytes = &self.bytes()[section.bytes.clone()];
        T::from_pem_slice(bytes).map_err(|error| {
            let is_base64 = |line: &[u8]| {
                let allowed = b"+/= \t";
                line.iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || allowed.contains(byte))
            };
            let wrong = lines(bytes).find(|(_, at)| {
                let line = &bytes[at.clone()];
                !line.starts_with(DASHES) && !is_base64(line)
            });
            let reason = match wrong {
                Some((number, _)) => format!("line {} is not base64", section.line + number - 1),
                None => format!(
                    "the section that begins in line {} is not valid base64; is it complete?",
                    section.line
                ),
            };
            self.invalid(reason, error)
        })
    }

    fn invalid(&self, reason: String, cause: Error) -> TlsError {
        TlsError::Pem {
            path: self.path.into(),
            reason,
            cause: Arc::new(cause),
        }
    }
}

/// Reads a file. If it is a pipe, waits until all writers have closed it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 16 MiB, and thus is no PEM",
        ));
    }
    Ok(bytes)
}

/// A section of PEM.
struct Section {
    /// The label in its first line.
    label: String,
    /// The number of its first line.
    line: usize,
    /// All of it, with its first and its last line.
    bytes: Range<usize>,
    is_encrypted: bool,
}

impl Section {
    fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    /// Returns whether it is a key that can be read.
    fn is_key(&self) -> bool {
        let labels = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
        labels.contains(&self.label.as_str()) && !self.is_encrypted
    }

    fn name(&self) -> String {
        match self.label.as_str() {
            "CERTIFICATE" => "a certificate".into(),
            _ if self.is_encrypted => "an encrypted private key".into(),
            _ if self.is_key() => "a private key".into(),
            "PUBLIC KEY" => "a public key".into(),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "a certificate request".into(),
            label => format!("a section {:?}", beginning(label)),
        }
    }
}

/// Returns the beginning of a label, for an error.
fn beginning(label: &str) -> String {
    label.chars().take(SHOWN_LABEL).collect()
}

/// Lists what a file holds, each kind once.
fn list(sections: &[Section]) -> String {
    let mut names: Vec<(String, usize)> = Vec::new();
    for section in sections {
        let name = section.name();
        if names.iter().any(|(other, _)| *other == name) {
            continue;
        }
        if names.len() == SHOWN_KINDS {
            names.push(("other sections".into(), section.line));
            break;
        }
        names.push((name, section.line));
    }
    let names: Vec<String> = names
        .into_iter()
        .map(|(name, line)| format!("{name} (line {line})"))
        .collect();
    names.join(" and ")
}

/// Why bytes are not PEM.
enum Invalid {
    /// A section has no last line.
    NotEnded { label: String, line: usize },
    /// The first line of a section does not end with dashes.
    BadBegin { line: usize },
    /// A section is a single line.
    OneLine { line: usize },
}

impl Invalid {
    fn reason(&self) -> String {
        match self {
            Self::NotEnded { label, line } => format!(
                "the line `-----END {}-----` is missing for the section that begins in line \
                 {line}; is the file complete?",
                escaped(&beginning(label))
            ),
            Self::BadBegin { line } => {
                format!("line {line} begins with `-----BEGIN `, but does not end with `-----`")
            }
            Self::OneLine { line } => format!(
                "line {line} holds a whole section; its line breaks are missing; did a \
                 variable or a script remove them?"
            ),
        }
    }

    /// Returns the error for programs. It holds no part of a key.
    fn cause(self) -> Error {
        match self {
            Self::NotEnded { label, .. } => Error::MissingSectionEnd {
                end_marker: label.into_bytes(),
            },
            Self::BadBegin { .. } | Self::OneLine { .. } => Error::IllegalSectionStart {
                line: BEGIN.to_vec(),
            },
        }
    }
}

/// Finds all sections. What is outside of them is ignored.
fn sections(bytes: &[u8]) -> Result<Vec<Section>, Invalid> {
    let mut sections = Vec::new();
    let mut open: Option<Section> = None;
    for (number, at) in lines(bytes) {
        let line = bytes[at.clone()].trim_ascii_end();
        if let Some(rest) = line.strip_prefix(BEGIN) {
            if let Some(Section { label, line, .. }) = open {
                return Err(Invalid::NotEnded { label, line });
            }
            let section = Section {
                label: begun(rest, number)?,
                line: number,
                bytes: at,
                is_encrypted: rest.starts_with(b"ENCRYPTED"),
            };
            open = Some(section);
        } else if let Some(section) = &mut open {
            // As in keys of old versions of OpenSSL.
            section.is_encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            section.bytes.end = at.end;
            if is_end(line, &section.label) {
                sections.extend(open.take());
            }
        }
    }
    match open {
        Some(Section { label, line, .. }) => Err(Invalid::NotEnded { label, line }),
        None => Ok(sections),
    }
}

/// Returns the label of a section. `rest` is its first line after [`BEGIN`].
fn begun(rest: &[u8], line: usize) -> Result<String, Invalid> {
    let len = rest.windows(DASHES.len()).position(|part| part == DASHES);
    let label = &rest[..len.ok_or(Invalid::BadBegin { line })?];
    let is_whole = rest.len() == label.len() + DASHES.len();
    match is_whole {
        true => Ok(String::from_utf8_lossy(label).into_owned()),
        false => Err(Invalid::OneLine { line }),
    }
}

fn is_end(line: &[u8], label: &str) -> bool {
    let rest = line.strip_prefix(END);
    let rest = rest.and_then(|rest| rest.strip_prefix(label.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(DASHES))
}

/// Returns all lines with their numbers, which begin with 1. A line ends with LF, CR, or
/// both.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = 0;
    (1..).map_while(move |number| {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        let line = start..start + len;
        let ends = if rest[len..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        start = line.end + ends;
        Some((number, line))
    })
}

/// Says what is not PEM.
fn without_sections(bytes: &[u8]) -> String {
    let begin = bytes.windows(BEGIN.len()).position(|part| part == BEGIN);
    match (bytes, begin) {
        (_, Some(at)) => {
            let line = lines(bytes)
                .take_while(|(_, line)| line.start <= at)
                .count();
            format!("line {line} has `-----BEGIN `, but not at its start")
        }
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) => "it is text in UTF-16, not ASCII".into(),
        _ if bytes.trim_ascii().is_empty() => "it is empty".into(),
        _ => "no line begins with `-----BEGIN `".into(),
    }
}
