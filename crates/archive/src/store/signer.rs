//! Signatures of Amazon's services (SigV4) with the credentials that stores on S3 take: of the environment, a profile, a
//! container, an instance's role.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Request};
use object_store::aws::{AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequestBody;

use super::location::{self, Environment, OpenError};

/// Signs requests to one service in one region.
#[derive(Clone, Debug)]
pub struct Signer {
    credentials: AwsCredentialProvider,
    service: &'static str,
    region: String,
}

/// Why a request is not signed. None of these repeats a credential.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// No credentials were found, or the service that gives them does not answer.
    #[error(
        "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role"
    )]
    Credentials(#[source] object_store::Error),
    /// The URL, a header or a credential has bytes that no request can have.
    #[error("the request or the credentials have characters that no request can have")]
    Form,
    /// The signature could not be made.
    #[error("the signature could not be made")]
    Sign(#[source] object_store::Error),
}

impl Signer {
    /// For a service, such as `execute-api`, in a region. Nothing is asked of anybody yet.
    ///
    /// # Errors
    /// A profile that is not there, or settings that do not fit.
    pub fn open(environment: &Environment, service: &'static str, region: &str) -> Result<Self, OpenError> {
        // The builder knows where credentials come from, and wants a bucket, which is not looked at.
        let builder = location::s3("none", environment)?.with_region(region);
        let builder = builder.with_config(AmazonS3ConfigKey::SkipSignature, "false");
        let store = builder.build().map_err(|e| OpenError::Settings(service.to_owned(), e))?;
        Ok(Signer { credentials: store.credentials().clone(), service, region: region.to_owned() })
    }

    /// The headers that sign a POST of `body` with `headers`, which must be sent as they are.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Vec<(String, String)>, SignError> {
        let credential = self.credentials.get_credential().await.map_err(SignError::Credentials)?;
        // The library takes it that these can be in a header.
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if !is_plain(&credential.key_id) || !credential.token.as_deref().is_none_or(is_plain) || !is_plain(url) {
            return Err(SignError::Form);
        }
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let mut request = request.body(HttpRequestBody::from(body)).map_err(|_| SignError::Form)?;
        let sent: Vec<HeaderName> = request.headers().keys().cloned().collect();
        AwsAuthorizer::new(&credential, self.service, &self.region)
            .try_authorize(&mut request, None)
            .map_err(SignError::Sign)?;
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|_| SignError::Form);
        let added = request.headers().iter().filter(|(name, _)| !sent.contains(name));
        added.map(|(name, value)| Ok((name.to_string(), text(value)?))).collect()
    }
}
