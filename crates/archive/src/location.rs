//! Where an archive is.

use std::path::PathBuf;
use std::str::FromStr;

use url::Url;
use vigie_daemon::Mistake;

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder, absolute.
    Folder(PathBuf),
    /// A bucket of S3, or of a store that speaks its protocol, and what goes before every key.
    S3 {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
}

/// The option that says where the archive is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ArchiveOptions {
    /// Archive of raw and scored posts: file:///folder, or s3://bucket/prefix with S3's settings in AWS_* variables
    #[arg(long, value_name = "URL", env = "VIGIE_ARCHIVE_URL")]
    pub archive_url: Option<Location>,
}

impl ArchiveOptions {
    /// The archive, which cannot be done without.
    ///
    /// # Errors
    /// That there is none.
    pub fn require(&self) -> Result<Location, Vec<Mistake>> {
        self.archive_url.clone().ok_or_else(|| {
            vec![Mistake::of::<Self>("archive-url", "not given", "file:///folder or s3://bucket/prefix")]
        })
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no archive, expected file:///folder or s3://bucket/prefix");
        let url = Url::parse(text).map_err(|_| expected())?;
        let bucket = url.host_str().filter(|_| url.query().is_none() && url.fragment().is_none());
        match (url.scheme(), bucket) {
            ("file", None) => url.to_file_path().map(Self::Folder).map_err(|()| expected()),
            ("s3", Some(bucket)) if url.username().is_empty() && url.port().is_none() => {
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: url.path().trim_matches('/').to_owned() })
            }
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_a_bucket_and_nothing_else() {
        for url in ["file:///var/archive", "s3://bucket", "s3://bucket/a/b"] {
            assert_eq!(url.parse::<Location>().unwrap().to_string(), url);
        }
        assert_eq!("s3://b/a/".parse::<Location>().unwrap(), Location::S3 { bucket: "b".into(), prefix: "a".into() });
        for url in ["/var/archive", "file://host/x", "s3:///x", "s3://key:secret@b/x", "s3://b/x?y=1", "gs://b"] {
            assert!(url.parse::<Location>().is_err(), "{url}");
        }
    }
}
