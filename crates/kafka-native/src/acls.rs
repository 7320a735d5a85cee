//! Access control lists of the cluster (API keys 29 to 31; <https://kafka.apache.org/protocol>).
//! All calls block.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use native::{rd_kafka_AclBinding_t as Binding, rd_kafka_admin_op_t as Call};
use native::{rd_kafka_AclOperation_t as O, rd_kafka_AclPermissionType_t as A};
use native::{rd_kafka_ResourcePatternType_t as P, rd_kafka_ResourceType_t as R};

use crate::{ERROR_BYTES, copied, text_in};

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
    /// The cluster.
    Cluster,
    /// Something that librdkafka does not know: tokens, users.
    Other,
}

/// How a name is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// It is this one, or `*` for all.
    Literal,
    /// All that begin so.
    Prefixed,
    /// Something that librdkafka does not know.
    Other,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "Kafka's names")]
pub enum Operation {
    All,
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
    /// Something that librdkafka does not know.
    Other,
}

const RESOURCES: [(Resource, R); 4] = [
    (Resource::Topic, R::RD_KAFKA_RESOURCE_TOPIC),
    (Resource::Group, R::RD_KAFKA_RESOURCE_GROUP),
    (Resource::TransactionalId, R::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID),
    (Resource::Cluster, R::RD_KAFKA_RESOURCE_BROKER),
];
const PATTERNS: [(Pattern, P); 2] = [
    (Pattern::Literal, P::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
    (Pattern::Prefixed, P::RD_KAFKA_RESOURCE_PATTERN_PREFIXED),
];
const OPERATIONS: [(Operation, O); 11] = [
    (Operation::All, O::RD_KAFKA_ACL_OPERATION_ALL),
    (Operation::Read, O::RD_KAFKA_ACL_OPERATION_READ),
    (Operation::Write, O::RD_KAFKA_ACL_OPERATION_WRITE),
    (Operation::Create, O::RD_KAFKA_ACL_OPERATION_CREATE),
    (Operation::Delete, O::RD_KAFKA_ACL_OPERATION_DELETE),
    (Operation::Alter, O::RD_KAFKA_ACL_OPERATION_ALTER),
    (Operation::Describe, O::RD_KAFKA_ACL_OPERATION_DESCRIBE),
    (Operation::ClusterAction, O::RD_KAFKA_ACL_OPERATION_CLUSTER_ACTION),
    (Operation::DescribeConfigs, O::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS),
    (Operation::AlterConfigs, O::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS),
    (Operation::IdempotentWrite, O::RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE),
];

fn ours<T: Copy, N: Copy + PartialEq>(names: &[(T, N)], native: N, other: T) -> T {
    names.iter().find(|(_, known)| *known == native).map_or(other, |(ours, _)| *ours)
}

fn theirs<T: Copy + PartialEq, N: Copy>(names: &[(T, N)], ours: T, unknown: N) -> N {
    names.iter().find(|(known, _)| *known == ours).map_or(unknown, |(_, native)| *native)
}

/// An entry of the lists: who may, or may not, do what, and from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Who, as `User:NAME`.
    pub principal: String,
    /// What kind of thing.
    pub resource: Resource,
    /// How the name is meant.
    pub pattern: Pattern,
    /// Which one.
    pub name: String,
    /// What may be done.
    pub operation: Operation,
    /// From where: an address, or `*`.
    pub host: String,
    /// Whether it may be done, or never.
    pub allowed: bool,
}

/// What a broker refused, or librdkafka.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it was.
    pub code: Code,
    /// More about it.
    pub detail: String,
}

/// All entries of the cluster.
///
/// # Errors
/// If the caller may not ask, or no broker answers within `timeout`.
pub fn describe_acls<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Result<Vec<Acl>, Failure> {
    let (null, mut error) = (ptr::null(), [0_u8; ERROR_BYTES]);
    // SAFETY: null means any; `error` is as long as said.
    let filter = unsafe {
        native::rd_kafka_AclBindingFilter_new(
            R::RD_KAFKA_RESOURCE_ANY,
            null,
            P::RD_KAFKA_RESOURCE_PATTERN_ANY,
            null,
            null,
            O::RD_KAFKA_ACL_OPERATION_ANY,
            A::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            error.as_mut_ptr().cast(),
            error.len(),
        )
    };
    let filter = Owned::new(filter, native::rd_kafka_AclBinding_destroy).ok_or_else(|| invalid(&error))?;
    let answer = call(client, Call::RD_KAFKA_ADMIN_OP_DESCRIBEACLS, timeout, |options, queue| {
        // SAFETY: the handles are valid, and the filter is copied.
        unsafe { native::rd_kafka_DescribeAcls(client.native_ptr(), filter.as_ptr(), options, queue) }
    })?;
    // SAFETY: the event is valid; the result belongs to it, and is null if it has another.
    let result = unsafe { native::rd_kafka_event_DescribeAcls_result(answer.as_ptr()) };
    let mut count = 0;
    if result.is_null() {
        return Err(unexpected());
    }
    // SAFETY: the result is valid, and the array belongs to it.
    let found = unsafe { native::rd_kafka_DescribeAcls_result_acls(result, &mut count) };
    // SAFETY: each of so many is a valid entry as long as the event.
    let found = unsafe { items(found, count) };
    // SAFETY: as above.
    Ok(found.iter().map(|acl| unsafe { read(*acl) }).collect())
}

/// Adds entries. Those that there are already stay as they are.
///
/// # Errors
/// At the first that is refused, or if no broker answers within `timeout`; others may have been
/// added.
pub fn create_acls<C: ClientContext>(client: &Client<C>, acls: &[Acl], timeout: Duration) -> Result<(), Failure> {
    let owned = acls.iter().map(|acl| binding(acl, native::rd_kafka_AclBinding_new)).collect::<Result<Vec<_>, _>>()?;
    let mut bindings: Vec<*mut Binding> = owned.iter().map(Owned::as_ptr).collect();
    let answer = call(client, Call::RD_KAFKA_ADMIN_OP_CREATEACLS, timeout, |options, queue| {
        // SAFETY: the handles are valid; so many entries are, and they are copied.
        unsafe {
            native::rd_kafka_CreateAcls(client.native_ptr(), bindings.as_mut_ptr(), bindings.len(), options, queue);
        }
    })?;
    // SAFETY: the event is valid; the result belongs to it, and is null if it has another.
    let result = unsafe { native::rd_kafka_event_CreateAcls_result(answer.as_ptr()) };
    let mut count = 0;
    if result.is_null() {
        return Err(unexpected());
    }
    // SAFETY: the result is valid, and the array belongs to it.
    let found = unsafe { native::rd_kafka_CreateAcls_result_acls(result, &mut count) };
    // SAFETY: each of so many is valid as long as the event.
    for (outcome, acl) in unsafe { items(found, count) }.iter().zip(acls) {
        // SAFETY: as above.
        let error = unsafe { native::rd_kafka_acl_result_error(*outcome) };
        // SAFETY: the error belongs to the outcome.
        unsafe { judge(error) }.map_err(|failed| of(acl, failed))?;
    }
    Ok(())
}

/// Takes entries away. Those that are not there are passed over.
///
/// # Errors
/// As of [`create_acls`].
pub fn delete_acls<C: ClientContext>(client: &Client<C>, acls: &[Acl], timeout: Duration) -> Result<(), Failure> {
    let new = native::rd_kafka_AclBindingFilter_new;
    let owned = acls.iter().map(|acl| binding(acl, new)).collect::<Result<Vec<_>, _>>()?;
    let mut filters: Vec<*mut Binding> = owned.iter().map(Owned::as_ptr).collect();
    let answer = call(client, Call::RD_KAFKA_ADMIN_OP_DELETEACLS, timeout, |options, queue| {
        // SAFETY: the handles are valid; so many filters are, and they are copied.
        unsafe {
            native::rd_kafka_DeleteAcls(client.native_ptr(), filters.as_mut_ptr(), filters.len(), options, queue);
        }
    })?;
    // SAFETY: the event is valid; the result belongs to it, and is null if it has another.
    let result = unsafe { native::rd_kafka_event_DeleteAcls_result(answer.as_ptr()) };
    let mut count = 0;
    if result.is_null() {
        return Err(unexpected());
    }
    // SAFETY: the result is valid, and the array belongs to it.
    let found = unsafe { native::rd_kafka_DeleteAcls_result_responses(result, &mut count) };
    // SAFETY: each of so many is valid as long as the event.
    for (outcome, acl) in unsafe { items(found, count) }.iter().zip(acls) {
        // SAFETY: as above.
        let error = unsafe { native::rd_kafka_DeleteAcls_result_response_error(*outcome) };
        // SAFETY: the error belongs to the outcome.
        unsafe { judge(error) }.map_err(|failed| of(acl, failed))?;
    }
    Ok(())
}

/// Something of librdkafka's that is to be destroyed once.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made by librdkafka for us, `destroy` is for its type, and nothing else
        // destroys it.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

type New = unsafe extern "C" fn(
    R,
    *const std::ffi::c_char,
    P,
    *const std::ffi::c_char,
    *const std::ffi::c_char,
    O,
    A,
    *mut std::ffi::c_char,
    usize,
) -> *mut Binding;

/// An entry, or the filter of exactly that one, as `new` makes it.
fn binding(acl: &Acl, new: New) -> Result<Owned<Binding>, Failure> {
    let c = |text: &str| CString::new(text).map_err(|_| of(acl, failure(Code::InvalidArgument, "a zero byte")));
    let (name, principal, host) = (c(&acl.name)?, c(&acl.principal)?, c(&acl.host)?);
    let permission =
        if acl.allowed { A::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW } else { A::RD_KAFKA_ACL_PERMISSION_TYPE_DENY };
    let mut error = [0_u8; ERROR_BYTES];
    // SAFETY: the texts outlive the call, which copies them; `error` is as long as said; what is
    // unknown is refused.
    let made = unsafe {
        new(
            theirs(&RESOURCES, acl.resource, R::RD_KAFKA_RESOURCE_UNKNOWN),
            name.as_ptr(),
            theirs(&PATTERNS, acl.pattern, P::RD_KAFKA_RESOURCE_PATTERN_UNKNOWN),
            principal.as_ptr(),
            host.as_ptr(),
            theirs(&OPERATIONS, acl.operation, O::RD_KAFKA_ACL_OPERATION_UNKNOWN),
            permission,
            error.as_mut_ptr().cast(),
            error.len(),
        )
    };
    Owned::new(made, native::rd_kafka_AclBinding_destroy).ok_or_else(|| of(acl, invalid(&error)))
}

/// Makes a call and waits for its answer, which has no error of the whole.
fn call<C: ClientContext>(
    client: &Client<C>,
    name: Call,
    timeout: Duration,
    request: impl FnOnce(*const native::rd_kafka_AdminOptions_t, *mut native::rd_kafka_queue_t),
) -> Result<Owned<native::rd_kafka_event_t>, Failure> {
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client's handle is valid as long as the borrow.
    let options = unsafe { native::rd_kafka_AdminOptions_new(client.native_ptr(), name) };
    let options = Owned::new(options, native::rd_kafka_AdminOptions_destroy).ok_or_else(unexpected)?;
    let mut error = [0_u8; ERROR_BYTES];
    // SAFETY: the options are valid, and `error` is as long as said.
    let set = unsafe {
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.as_ptr(),
            millis,
            error.as_mut_ptr().cast(),
            error.len(),
        )
    };
    if set != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(invalid(&error));
    }
    // SAFETY: as for the options.
    let queue = unsafe { native::rd_kafka_queue_new(client.native_ptr()) };
    let queue = Owned::new(queue, native::rd_kafka_queue_destroy).ok_or_else(unexpected)?;
    request(options.as_ptr(), queue.as_ptr());
    // librdkafka keeps the time itself; a second more is for its answer.
    // SAFETY: the queue is valid, and the event that it gives becomes ours.
    let event = unsafe { native::rd_kafka_queue_poll(queue.as_ptr(), millis.saturating_add(1_000)) };
    let event = Owned::new(event, native::rd_kafka_event_destroy)
        .ok_or_else(|| failure(Code::OperationTimedOut, "no answer"))?;
    // SAFETY: the event is valid.
    let code = unsafe { native::rd_kafka_event_error(event.as_ptr()) };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(event);
    }
    // SAFETY: the event is valid; its text ends with a zero and belongs to it.
    let text = unsafe { native::rd_kafka_event_error_string(event.as_ptr()) };
    // SAFETY: as above.
    Err(Failure { code: code.into(), detail: unsafe { copied(text) } })
}

/// What an array of librdkafka's points to.
///
/// # Safety
/// `first` is null, or the first of `count` pointers that live as long as the event they came with,
/// which outlives what is returned.
unsafe fn items<'a, T>(first: *mut *const T, count: usize) -> &'a [*const T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// # Safety
/// `acl` is valid.
unsafe fn read(acl: *const Binding) -> Acl {
    // SAFETY: the entry is valid, its texts end with a zero and belong to it.
    let principal = unsafe { native::rd_kafka_AclBinding_principal(acl) };
    // SAFETY: as above.
    let name = unsafe { native::rd_kafka_AclBinding_name(acl) };
    // SAFETY: as above.
    let host = unsafe { native::rd_kafka_AclBinding_host(acl) };
    // SAFETY: as above; librdkafka makes `UNKNOWN` of numbers that it does not know.
    let resource = unsafe { native::rd_kafka_AclBinding_restype(acl) };
    // SAFETY: as above.
    let pattern = unsafe { native::rd_kafka_AclBinding_resource_pattern_type(acl) };
    // SAFETY: as above.
    let operation = unsafe { native::rd_kafka_AclBinding_operation(acl) };
    // SAFETY: as above.
    let permission = unsafe { native::rd_kafka_AclBinding_permission_type(acl) };
    Acl {
        // SAFETY: as above.
        principal: unsafe { copied(principal) },
        resource: ours(&RESOURCES, resource, Resource::Other),
        pattern: ours(&PATTERNS, pattern, Pattern::Other),
        // SAFETY: as above.
        name: unsafe { copied(name) },
        operation: ours(&OPERATIONS, operation, Operation::Other),
        // SAFETY: as above.
        host: unsafe { copied(host) },
        allowed: permission == A::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
    }
}

/// # Safety
/// `error` is null, which is none, or valid.
unsafe fn judge(error: *const native::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so valid.
    let code = unsafe { native::rd_kafka_error_code(error) };
    // SAFETY: as above; the text ends with a zero and belongs to the error.
    let text = unsafe { native::rd_kafka_error_string(error) };
    // SAFETY: as above.
    Err(Failure { code: code.into(), detail: unsafe { copied(text) } })
}

fn failure(code: Code, detail: &str) -> Failure {
    Failure { code, detail: detail.to_owned() }
}

fn invalid(error: &[u8; ERROR_BYTES]) -> Failure {
    failure(Code::InvalidArgument, &text_in(error))
}

fn unexpected() -> Failure {
    failure(Code::Fail, "librdkafka answered something else")
}

fn of(acl: &Acl, Failure { code, detail }: Failure) -> Failure {
    let Acl { principal, resource, name, operation, .. } = acl;
    Failure { code, detail: format!("{operation:?} of {resource:?} {name} for {principal}: {detail}") }
}
