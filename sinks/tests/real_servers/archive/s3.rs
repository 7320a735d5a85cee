//! The same in S3: moto's server, which speaks its protocol, conditional puts among it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use vigie_archive::{Archive, ArchiveError};
use vigie_sinks::RoundError;

use super::breaking::{Break, Breaking};
use super::{archived, in_kafka, publish, round, survives_every_break};
use crate::harness::Pipeline;
use crate::proxy::Proxy;

const BUCKET: &str = "vigie-archive";
/// Serves until its standard input ends, which it does at the latest with this process.
const SERVER: &str = "
import sys, logging
logging.getLogger('werkzeug').setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
import boto3
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)
server.start()
host, port = server.get_host_and_port()
boto3.client('s3', endpoint_url=f'http://{host}:{port}', region_name='us-east-1', aws_access_key_id='k',
             aws_secret_access_key='s').create_bucket(Bucket=sys.argv[1])
print(port, flush=True)
sys.stdin.read()
";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server and its port; `None`, with the reason, where Python has no moto.
fn start() -> Option<(Server, u16)> {
    let python = std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import moto.server, flask_cors, boto3"]).output().unwrap();
    if !found.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&found.stderr).lines().last().unwrap_or_default());
        return None;
    }
    let mut server = Command::new(python);
    server.args(["-c", SERVER, BUCKET]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(server.spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| line.unwrap().parse().ok()).expect("the server says its port");
    Some((server, port))
}

fn store(port: u16) -> Arc<dyn ObjectStore> {
    let retries =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 1, retry_timeout: Duration::from_secs(5) };
    let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_region("us-east-1").with_retry(retries);
    let builder = builder.with_access_key_id("k").with_secret_access_key("s");
    let client = ClientOptions::new().with_allow_http(true);
    let builder = builder.with_endpoint(format!("http://127.0.0.1:{port}")).with_client_options(client);
    let _ = rustls::crypto::ring::default_provider().install_default();
    Arc::new(builder.build().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_s3_too_each_record_is_archived_once_whatever_write_fails_and_when_the_server_is_gone_meanwhile() {
    let Some((_server, port)) = tokio::task::block_in_place(start) else { return };
    let pipeline = Pipeline::new().await;
    publish(&pipeline, 0).await;
    survives_every_break(&pipeline, store(port), &[Break::After]).await;

    // The connection goes while the second file is on its way, and comes back.
    let proxy = Proxy::to(([127, 0, 0, 1], port).into()).await;
    let cut = Arc::new(Breaking::new(store(proxy.port), Break::WaitsForAnother, 2));
    let archive = Archive::on(cut.clone(), "cut");
    let interrupted = round(&pipeline, &archive);
    let cutting = async {
        cut.reached().await;
        proxy.cut();
        cut.go_on();
    };
    let (outcome, ()) = tokio::join!(interrupted, cutting);
    assert!(matches!(outcome, Err(RoundError::Archive(ArchiveError::Store(_)))), "{outcome:?}");
    proxy.mend();
    round(&pipeline, &archive).await.unwrap();
    assert!(archived(&archive).await == in_kafka(&pipeline).await, "all, once");
}
