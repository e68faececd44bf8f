// Verifies statements by what docs/statements.md says, with Node's crypto and a JSON canonicaliser, and no code of ours.
// Usage: node verify.mjs FOLDER ORGANIZATION_SCHEMA
//   FOLDER/configuration.json   {"organizations": [...], "launchHosts": {geography: {stage: host}}}
//   FOLDER/trust.json           {"anchors": {...}, "trustedKeys": [...]}
//   FOLDER/approvals/...        statements in their places; FOLDER/audit-heads/... has no places
// Prints JSON: the digest of every connection, and of every statement what was verified, or why it does not count.

import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import canonicalize from "canonicalize";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const TYPES = {
  "urn:teams-ehr-connector:approval:1": "approval",
  "urn:teams-ehr-connector:rehearsal:1": "rehearsal",
  "urn:teams-ehr-connector:revocations:1": "revocation",
  "urn:teams-ehr-connector:break-glass:1": "break-glass",
  "urn:teams-ehr-connector:audit-head:1": "audit-head",
};

const [folder, schemaFile] = process.argv.slice(2);
const json = (file) => JSON.parse(readFileSync(file, "utf8"));
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
const digest = (domain, text) => sha256(`teams-ehr-connector/${domain}\0`, text);

// --- connections: the canonical form, and its digest ---

const schema = json(schemaFile);

function resolved(part) {
  return part.$ref === undefined ? part : { ...part, ...schema.$defs[part.$ref.replace("#/$defs/", "")] };
}

function withoutDefaults(value, part) {
  const { properties = {}, items } = resolved(part);
  if (Array.isArray(value)) return value.map((item) => withoutDefaults(item, items));
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(
    ([name, item]) =>
      properties[name]?.default === undefined || canonicalize(item) !== canonicalize(properties[name].default),
  );
  return Object.fromEntries(kept.map(([name, item]) => [name, withoutDefaults(item, properties[name])]));
}

function connectionDigest(organization, connection, launchHost) {
  const form = {
    form: 1,
    organization: { id: organization.id, tenantId: organization.tenantId, geography: organization.geography },
    launchHost,
    connection: withoutDefaults(connection, schema.$defs.EhrConnection),
  };
  return digest("connection/1", canonicalize(form));
}

// --- statements ---

class Refused extends Error {}

function expect(holds, what) {
  if (!holds) throw new Refused(`expected ${what}`);
}

function preAuthenticationEncoding(type, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
}

function subjectName(type, said) {
  if (type === "revocation") return `revocations/${said.geography}/${said.stage}`;
  if (type === "audit-head") return `audit/${said.geography}/${said.stage}`;
  return `${said.organization}/${said.connection}`;
}

function place(type, said) {
  const stamp = (time) => time.replaceAll(/[-:]/g, "").toLowerCase();
  const names = {
    approval: () => `approval-${String(said.serial).padStart(6, "0")}-${said.decision}`,
    rehearsal: () => `rehearsal-${stamp(said.issued)}-${said.image.replace("sha256:", "").slice(0, 12)}`,
    "break-glass": () => `break-glass-${stamp(said.issued)}`,
  };
  if (type === "revocation") return `approvals/revocations/${said.geography}-${said.stage}.json`;
  return names[type] && `approvals/${said.organization}/${said.connection}/${names[type]()}.json`;
}

function fromBase64(text) {
  const bytes = Buffer.from(text, "base64");
  expect(bytes.toString("base64") === text, "base64 whose spare bits are zero");
  return bytes;
}

const trust = json(join(folder, "trust.json"));

function verified(path) {
  const envelope = json(join(folder, path));
  expect(envelope.payloadType === PAYLOAD_TYPE, `payloadType ${PAYLOAD_TYPE}`);
  expect(envelope.signatures.length === 1, "one signature");
  const [{ keyid, sig }] = envelope.signatures;

  const pin = trust.trustedKeys.find((key) => key.keyId === keyid);
  const anchor = trust.anchors.keys.find((key) => key.keyId === keyid);
  expect(pin && anchor && pin.geography === anchor.geography, "a key that stack and image list");
  const spki = Buffer.from(anchor.publicKey, "base64");
  expect(sha256(spki) === keyid, "a key id that is the SHA-256 of the key");
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  const payload = fromBase64(envelope.payload);
  const algorithm = key.asymmetricKeyType === "ec" ? "sha256" : null;
  const signed = preAuthenticationEncoding(envelope.payloadType, payload);
  expect(verify(algorithm, signed, key, fromBase64(sig)), "a signature of the payload");

  const statement = JSON.parse(payload.toString("utf8"));
  expect(canonicalize(statement) === payload.toString("utf8"), "the RFC 8785 form");
  const { predicate: said, predicateType, subject } = statement;
  const type = TYPES[predicateType];
  expect(type, "a predicate type that is known");
  expect(statement._type === "https://in-toto.io/Statement/v1" && subject.length === 1, "an in-toto Statement v1");
  expect(subject[0].name === subjectName(type, said), "the subject of the predicate");
  if (type === "revocation") {
    expect(subject[0].digest.sha256 === digest("revocations/1", canonicalize(said)), "the digest of the list");
  }
  for (const listed of [pin, anchor]) expect(listed.statementTypes.includes(type), "a key for this type");
  expect(pin.geography === said.geography, "a key of this geography");
  expect(!pin.retiredAt || said.issued < pin.retiredAt, "a statement from before its key was retired");
  if (path.startsWith("approvals/")) expect(place(type, said) === path, "a statement in its place");
  return { type, keyId: keyid, sha256: subject[0].digest.sha256, payloadSha256: sha256(payload) };
}

function outcome(path) {
  try {
    return verified(path);
  } catch (problem) {
    if (problem instanceof Refused || problem instanceof SyntaxError) return { refused: problem.message };
    throw problem;
  }
}

// --- all of the folder ---

const { organizations, launchHosts } = json(join(folder, "configuration.json"));
const connections = {};
for (const organization of organizations) {
  for (const connection of organization.connections) {
    const host = launchHosts[organization.geography][connection.stage];
    connections[`${organization.id}/${connection.id}`] = connectionDigest(organization, connection, host);
  }
}
const files = readdirSync(folder, { recursive: true }).filter((f) => /^(approvals|audit-heads)\/.*\.json$/.test(f));
const statements = Object.fromEntries(files.sort().map((file) => [file, outcome(file)]));
console.log(JSON.stringify({ connections, statements }));
