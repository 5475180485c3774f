/** One self-signed P-256 certificate for all peers, in a folder that is removed at the end of the run. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selfSigned } from '../protocols/tls/index.ts';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

export function makeCertificate(): CertificateFiles {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-bench-'));
  process.on('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const files = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const { certificate, key } = selfSigned();
  writeFileSync(files.certificate, certificate);
  writeFileSync(files.key, key, { mode: 0o600 });
  return files;
}
