// WebAuthn in JSON, both ways: options as the signer gives them, credentials as it takes them.

import { isObject } from "./wire";

type Json = Record<string, unknown>;

export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export function toBase64Url(bytes: ArrayBuffer): string {
  const binary = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Make a new credential. Throws when the person or the browser says no. */
export async function createPasskey(options: Json): Promise<Json> {
  const user = isObject(options["user"]) ? options["user"] : {};
  const publicKey = {
    ...options,
    challenge: bytesOf(options["challenge"]),
    user: { ...user, id: bytesOf(user["id"]) },
    excludeCredentials: descriptors(options["excludeCredentials"]),
  } as unknown as PublicKeyCredentialCreationOptions;
  const made = await navigator.credentials.create({ publicKey });
  if (!(made instanceof PublicKeyCredential)) throw new Error("No passkey was made.");
  const response = made.response as AuthenticatorAttestationResponse;
  return credentialOf(made, { attestationObject: toBase64Url(response.attestationObject) });
}

/** Answer a challenge. Throws when the person or the browser says no. */
export async function getPasskey(options: Json): Promise<Json> {
  const publicKey = {
    ...options,
    challenge: bytesOf(options["challenge"]),
    allowCredentials: descriptors(options["allowCredentials"]),
  } as unknown as PublicKeyCredentialRequestOptions;
  const found = await navigator.credentials.get({ publicKey });
  if (!(found instanceof PublicKeyCredential)) throw new Error("No passkey answered.");
  const response = found.response as AuthenticatorAssertionResponse;
  return credentialOf(found, {
    authenticatorData: toBase64Url(response.authenticatorData),
    signature: toBase64Url(response.signature),
  });
}

function credentialOf(credential: PublicKeyCredential, more: Json): Json {
  const said = { clientDataJSON: toBase64Url(credential.response.clientDataJSON), ...more };
  return { id: credential.id, rawId: toBase64Url(credential.rawId), type: credential.type, response: said };
}

function descriptors(listed: unknown): unknown[] {
  return Array.isArray(listed) ? listed.filter(isObject).map((each) => ({ ...each, id: bytesOf(each["id"]) })) : [];
}

function bytesOf(text: unknown): Uint8Array<ArrayBuffer> {
  return fromBase64Url(typeof text === "string" ? text : "");
}
