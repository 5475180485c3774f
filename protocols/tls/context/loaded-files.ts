/** What the options of a context name, read from files. */

import type { TrustFiles } from '../certificates/trust.ts';

/** A certificate with its key, read and with its password known. */
export interface LoadedIdentity {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  readonly password: string | undefined;
}

/** What the options name, read. */
export interface LoadedFiles {
  readonly identities: readonly LoadedIdentity[];
  readonly trust: TrustFiles | undefined;
  readonly dhParameters: Uint8Array | undefined;
}
