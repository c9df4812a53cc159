// Asks the verifier of sigstore-js about a bundle.
// Usage: verify.js --key PUBLIC.pem --trusted-root ROOT.json --bundle BUNDLE.json [--log] FILE
// With --log the signature must be in a log of the root. FILE is compared with a message signature only: of a
// statement the library checks the envelope, and leaves the subjects to its caller.
'use strict';

const { createPublicKey, createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const { bundleFromJSON, isBundleWithMessageSignature } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const text = { type: 'string' };
const options = { key: text, 'trusted-root': text, bundle: text, log: { type: 'boolean', default: false } };
if (process.argv.includes('--version')) {
  console.log(require('@sigstore/verify/package.json').version);
  process.exit(0);
}
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
try {
  const rawBytes = createPublicKey(readFileSync(values.key)).export({ type: 'spki', format: 'der' });
  const hint = createHash('sha256').update(rawBytes).digest('base64');
  const material = toTrustMaterial(TrustedRoot.fromJSON(json(values['trusted-root'])), { [hint]: { rawBytes } });
  const bundle = bundleFromJSON(json(values.bundle));
  const file = isBundleWithMessageSignature(bundle) ? readFileSync(positionals[0]) : undefined;
  const verifier = new Verifier(material, { tlogThreshold: values.log ? 1 : 0, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundle, file));
  console.log('verified');
} catch (error) {
  console.error(`${error.code ?? error.name}: ${error.message}`);
  process.exit(1);
}
