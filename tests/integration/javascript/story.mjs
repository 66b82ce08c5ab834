// What programs do with the JavaScript client, on the cluster of KUBECONFIG. Prints a line of JSON.
// Usage: node story.mjs PATH-OF-THE-CLIENT NAMESPACE
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const [client, namespace] = process.argv.slice(2);
const k8s = await import(pathToFileURL(path.join(client, 'dist/index.js')).href);
const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const told = {};

const metadata = { name: 'p', annotations: { 'kubeherd.io/port-forward': '{"80": "hello"}' } };
const command = ['sh', '-c', 'echo text > /tmp/file; echo started; sleep 1000'];
const spec = { containers: [{ name: 'c', image: 'app', command }] };
await core.createNamespacedPod({ namespace, body: { metadata, spec } });
await new Promise((resolve, reject) => {
    const watching = new k8s.Watch(kc).watch(
        `/api/v1/namespaces/${namespace}/pods`, {},
        (_, pod) => pod.status?.phase === 'Running' && watching.then((w) => w.abort()).then(resolve),
        (error) => error && error.name !== 'AbortError' && reject(error),
    );
});

const patched = await core.patchNamespacedPod(
    { name: 'p', namespace, body: [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }] },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch),
);
told.labels = patched.metadata.labels;

const collected = () => {
    const sink = new Writable({ write: (data, _, done) => { sink.text += data; done(); } });
    sink.text = '';
    return sink;
};
const out = collected();
const execution = ['sh', '-c', 'cat /tmp/file; exit 3'];
const status = await new Promise((resolve, reject) => {
    new k8s.Exec(kc)
        .exec(namespace, 'p', 'c', execution, out, collected(), null, false, resolve)
        .catch(reject);
});
told.exec = [out.text, status.details.causes[0].message];

const logged = collected();
await new k8s.Log(kc).log(namespace, 'p', 'c', logged, { tailLines: 1 });
if (!logged.writableFinished) await new Promise((resolve) => logged.on('finish', resolve));
told.log = logged.text;

const forwarded = collected();
const asking = new PassThrough();
asking.write('anybody there?');
const forward = new k8s.PortForward(kc);
await forward.portForward(namespace, 'p', [80], forwarded, null, asking);
while (!forwarded.text) await new Promise((resolve) => setTimeout(resolve, 10));
told.forwarded = forwarded.text;

try {
    await core.readNamespacedPod({ name: 'nobody', namespace });
} catch (error) {
    told.refused = error.code;
}
console.log(JSON.stringify(told));
process.exit(0);
