"""What an error of S3 means to a person, in one line without keys, signatures or URL queries."""

from botocore import exceptions as boto

from pressroom.errors import BadInput, Permanent, PressroomError, Throttled, Transient

_BUSY = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"})
# 4xx by number, and yet the next try may go well. A lost answer to the end of an upload shows as NoSuchUpload.
_PASSING = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "NoSuchUpload"})
_OTHER_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_MISSING = frozenset({"404", "405", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed"})
_LOCK_WORDS = ("object lock", "legal hold", "retention", "worm")
_NO_KEY = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.NoAuthTokenError)
_WRONG_CALL = (boto.ParamValidationError, boto.ValidationError, boto.NoRegionError, boto.InvalidEndpointConfigurationError)


class NotThere(BadInput):
    """The object, its version, or the bucket of the request is not there (any more)."""


class Denied(Permanent):
    """403. `says_lock`: the answer says that a lock or a hold protects the object."""

    def __init__(self, message: str, *, says_lock: bool = False) -> None:
        super().__init__(message)
        self.says_lock = says_lock


def explained(error: Exception, *, what: str, bucket: str, host: str) -> PressroomError:
    """The project's error for one of botocore or urllib3. `what` is the object's location or the bucket's, `host` the endpoint's."""
    if isinstance(error, boto.ClientError):
        return _answered(error, what, bucket, host)
    if isinstance(error, _NO_KEY):
        return Permanent(f"{what}: no key for {host}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, _WRONG_CALL):
        return Permanent(f"{what}: {host} cannot be asked ({type(error).__name__}); check AWS_ENDPOINT_URL_S3 and AWS_REGION")
    return Transient(f"{what}: the connection to {host} failed ({type(error).__name__}); AWS_ENDPOINT_URL_S3 says where it is")


def no_bucket(bucket: str, host: str) -> Permanent:
    return Permanent(f"{host} has no bucket '{bucket}': correct PRESSROOM_STORE_URL or AWS_ENDPOINT_URL_S3")


def _answered(error: boto.ClientError, what: str, bucket: str, host: str) -> PressroomError:
    told, facts = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, status = str(told.get("Code", "")), int(facts.get("HTTPStatusCode", 0))
    said = f"{host} said {' '.join(part for part in (str(status or ''), code if code != str(status) else '') if part)}"
    if status == 429 or code in _BUSY:
        return Throttled(f"{what}: {said}", retry_after=_seconds(facts.get("HTTPHeaders", {}).get("retry-after")))
    if status >= 500 or status == 408 or code in _PASSING:
        return Transient(f"{what}: {said}", retry_after=_seconds(facts.get("HTTPHeaders", {}).get("retry-after")))
    if code == "NoSuchBucket":
        return no_bucket(bucket, host)
    if status == 412 or code == "PreconditionFailed":
        return NotThere(f"{what}: was replaced since it was listed")
    if code in _MISSING:
        return NotThere(f"{what}: is not there")
    if code in _OTHER_REGION or status == 301:
        return Permanent(f"{what}: {said}; the bucket is in another region: set AWS_REGION and AWS_ENDPOINT_URL_S3")
    if code == "RequestTimeTooSkewed":
        return Permanent(f"{what}: {said}; the clock of this machine is wrong")
    if status in (401, 403):
        return _denied(str(told.get("Message", "")).lower(), what, said)
    return Permanent(f"{what}: {said}")


def _denied(message: str, what: str, said: str) -> Denied:
    if "cap exceeded" in message or "cap reached" in message:  # B2's daily limits, which the account's owner sets
        return Denied(f"{what}: {said}; a storage or transaction cap of the account is reached")
    advice = "the key of AWS_ACCESS_KEY_ID is wrong, or may not do this in the bucket of PRESSROOM_STORE_URL"
    return Denied(f"{what}: {said}; {advice}", says_lock=any(word in message for word in _LOCK_WORDS))


def _seconds(header: object) -> float | None:
    try:
        return max(0.0, float(str(header)))
    except ValueError:  # absent, or a date
        return None
