//! A store's URL and settings to the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_media::time::Clock;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientOptions, RetryConfig};

use super::{Store, profile};

/// What a store may need to know beside its URL. The root fills it; nothing here reads the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Variables of the process, such as `AWS_REGION` and `AWS_ROLE_ARN`. Those with the store's prefix are taken.
    pub variables: BTreeMap<String, String>,
    /// The S3 endpoint, for stores that are not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The bucket is part of the path, not of the host name. Default: whenever an endpoint is given.
    pub path_style: Option<bool>,
    /// Profile of the AWS command line.
    pub profile: Option<String>,
    /// KMS key by which S3 encrypts what is put; `aws/s3` for Amazon's own.
    pub kms_key: Option<String>,
    /// The user's folder, where `.aws` is.
    pub home: Option<PathBuf>,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL has an unknown scheme.
    #[error(
        "archive.url cannot begin with {0}://; use file://FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory://"
    )]
    Scheme(String),
    /// The URL names no bucket or folder.
    #[error("archive.url {0:?} names no {1}; write {2}")]
    Empty(String, &'static str, &'static str),
    /// The folder cannot be made.
    #[error("the folder {0} cannot be made; check its permissions")]
    Folder(PathBuf, #[source] std::io::Error),
    /// A file of the profile cannot be read.
    #[error("the profile {0} was not found in {1}; add it, or correct archive.profile")]
    Profile(String, PathBuf),
    /// The settings do not fit.
    #[error("the store {0} cannot be opened; check the settings below [archive]")]
    Settings(String, #[source] object_store::Error),
}

/// Connecting may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request may take so long; the recording repeats it with its own back-off.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn open(url: &str, environment: &Environment, clock: Arc<dyn Clock>) -> Result<Store, OpenError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return folder(url, url, clock);
    };
    if scheme == "file" {
        return folder(url, rest, clock);
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = Path::from(prefix);
    let settings = |e| OpenError::Settings(url.to_owned(), e);
    let inner: Arc<dyn object_store::ObjectStore> = match scheme {
        "memory" => Arc::new(InMemory::new()),
        "s3" | "s3a" => {
            named(url, bucket, "bucket", "s3://BUCKET or s3://BUCKET/PREFIX")?;
            Arc::new(s3(bucket, environment)?.build().map_err(settings)?)
        }
        "gs" | "gcs" => {
            named(url, bucket, "bucket", "gs://BUCKET or gs://BUCKET/PREFIX")?;
            let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client()).with_retry(retry());
            for (key, value) in &environment.variables {
                if let Some(key) = known::<GoogleConfigKey>(key, "GOOGLE_") {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.with_bucket_name(bucket).build().map_err(settings)?)
        }
        "az" | "azure" => {
            named(url, bucket, "container", "az://CONTAINER or az://CONTAINER/PREFIX")?;
            let mut builder = MicrosoftAzureBuilder::new().with_client_options(client()).with_retry(retry());
            for (key, value) in &environment.variables {
                if let Some(key) = known::<AzureConfigKey>(key, "AZURE_") {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.with_container_name(bucket).build().map_err(settings)?)
        }
        other => return Err(OpenError::Scheme(other.to_owned())),
    };
    Ok(Store::new(inner, prefix, url, false, clock))
}

fn named(url: &str, name: &str, what: &'static str, write: &'static str) -> Result<(), OpenError> {
    if name.is_empty() { Err(OpenError::Empty(url.to_owned(), what, write)) } else { Ok(()) }
}

fn folder(url: &str, path: &str, clock: Arc<dyn Clock>) -> Result<Store, OpenError> {
    named(url, path, "folder", "file://FOLDER")?;
    let path = PathBuf::from(path);
    std::fs::create_dir_all(&path).map_err(|e| OpenError::Folder(path.clone(), e))?;
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|e| OpenError::Settings(url.to_owned(), e))?;
    Ok(Store::new(Arc::new(store.with_fsync(true)), Path::default(), &path.display().to_string(), true, clock))
}

pub(super) fn s3(bucket: &str, environment: &Environment) -> Result<AmazonS3Builder, OpenError> {
    let mut builder = AmazonS3Builder::new().with_client_options(client()).with_retry(retry());
    for (key, value) in &environment.variables {
        // Endpoint and region come from the settings first.
        if let Some(key) = known::<AmazonS3ConfigKey>(key, "AWS_") {
            builder = builder.with_config(key, value);
        }
    }
    let profile = environment.profile.clone().or_else(|| environment.variables.get("AWS_PROFILE").cloned());
    if let Some(profile) = profile {
        for (key, value) in read_profile(&profile, environment)? {
            let key = match key.as_str() {
                "aws_access_key_id" => AmazonS3ConfigKey::AccessKeyId,
                "aws_secret_access_key" => AmazonS3ConfigKey::SecretAccessKey,
                "aws_session_token" => AmazonS3ConfigKey::Token,
                "region" => AmazonS3ConfigKey::Region,
                "endpoint_url" => AmazonS3ConfigKey::Endpoint,
                _ => continue,
            };
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &environment.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &environment.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let path_style = environment.path_style.unwrap_or(endpoint.is_some());
    if let Some(key) = &environment.kms_key {
        builder = builder.with_sse_kms_encryption(if key == "aws/s3" { "alias/aws/s3" } else { key });
    }
    Ok(builder
        .with_allow_http(endpoint.is_some_and(|e| e.starts_with("http://")))
        .with_virtual_hosted_style_request(!path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_bucket_name(bucket))
}

fn read_profile(profile: &str, environment: &Environment) -> Result<BTreeMap<String, String>, OpenError> {
    let folder = environment.home.clone().unwrap_or_default().join(".aws");
    let place = |variable: &str, name: &str| {
        environment.variables.get(variable).map_or_else(|| folder.join(name), PathBuf::from)
    };
    let credentials = place("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let found = profile::read(profile, &read(&credentials), &read(&place("AWS_CONFIG_FILE", "config")));
    if found.is_empty() { Err(OpenError::Profile(profile.to_owned(), credentials)) } else { Ok(found) }
}

/// A variable that the store's client knows.
fn known<K: std::str::FromStr>(variable: &str, prefix: &str) -> Option<K> {
    let is_ours = variable.starts_with(prefix);
    is_ours.then(|| variable.to_ascii_lowercase().parse().ok()).flatten()
}

fn client() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT)
}

/// Little: who asks knows better whether and when to ask again.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 1, retry_timeout: REQUEST_TIMEOUT, ..RetryConfig::default() }
}

#[cfg(test)]
mod tests {
    use millstream_media::time::{MonoTime, UtcTime};

    use super::*;

    struct Still;
    impl Clock for Still {
        fn utc(&self) -> UtcTime {
            UtcTime::EPOCH
        }
        fn mono(&self) -> MonoTime {
            MonoTime::default()
        }
    }

    #[test]
    fn urls_that_name_no_store_are_refused_with_the_mend() {
        for (url, part) in
            [("ftp://x", "cannot begin with ftp://"), ("s3://", "names no bucket"), ("file://", "names no folder")]
        {
            let error = open(url, &Environment::default(), Arc::new(Still)).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn clouds_open_without_a_request() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "YQ=="),
            ("AWS_LAMBDA_FUNCTION_NAME", "not ours"),
        ];
        let variables = variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let environment = Environment { variables, region: Some("eu-west-1".to_owned()), ..Environment::default() };
        for url in ["s3://bucket/live/store", "az://container", "memory://"] {
            let opened = open(url, &environment, Arc::new(Still));
            assert_eq!(opened.map(|s| s.location().to_owned()).ok().as_deref(), Some(url));
        }
    }
}
