/** The contents of the files that a context's options name. */

import type { TrustFiles } from '../certificates/trust.ts';

/** The content of a certificate file and its key file, and the key's password. */
export interface LoadedIdentity {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  readonly password: string | undefined;
}

/** The contents of all files of a context. */
export interface LoadedFiles {
  readonly identities: readonly LoadedIdentity[];
  readonly trust: TrustFiles | undefined;
  readonly dhParameters: Uint8Array | undefined;
}
