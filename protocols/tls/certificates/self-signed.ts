/** Self-signed certificates, for tests and trials. */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';

import { hostName } from '../../../reactor/addresses/host-name.ts';
import { checkOptions, listOf, number, text } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { bioText } from '../bio-text.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { withPrivateKey } from './pem.ts';
import { refused } from '../tls-error.ts';

/** The contents of a self-signed certificate. */
export interface SelfSignedOptions {
  /** The host names and addresses that it is for; `localhost`, `127.0.0.1` and `::1` by default. */
  readonly names?: readonly string[];
  /** For how many days it is valid, beginning one hour ago; 30 by default. */
  readonly days?: number;
}

// ASN.1 has years of four digits only, so the validity is bounded.
export const SELF_SIGNED_RULES = {
  names: listOf(text, 1),
  days: number('a number of days above 0 and of at most 36500', (value) => value > 0 && value <= 36_500),
} satisfies Rules<SelfSignedOptions>;

/**
 * Makes a key on the curve P-256 and a self-signed certificate for it. Peers do not trust such a certificate by
 * default: pass `certificate` to the client as its `ca`.
 * @returns the certificate and the key, in PEM.
 * @throws {RangeError | TypeError} when an option is invalid.
 * @example
 * import { Certificate, selfSigned } from 'wantio/tls';
 *
 * const { certificate } = selfSigned({ names: ['service.test', '127.0.0.1'], days: 7 });
 * if (!Certificate.load(certificate).checkHost('service.test')) throw new Error('the name is not in it');
 */
export function selfSigned(options: SelfSignedOptions = {}): { certificate: string; key: string } {
  checkOptions('selfSigned', options, SELF_SIGNED_RULES);
  const { names = ['localhost', '127.0.0.1', '::1'], days = 30 } = options;
  const read = names.map((name) =>
    name.startsWith('*.')
      ? `*.${hostName(name.slice(2), 'a name of the certificate')}`
      : hostName(name, 'a name of the certificate'),
  );
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
  let certificate = '';
  withPrivateKey(Buffer.from(key), undefined, (pkey) => {
    certificate = sign(pkey, read, days);
  });
  return { certificate, key };
}

function sign(key: Pointer, names: readonly string[], days: number): string {
  const ssl = openssl();
  const certificate = ssl.X509_new();
  try {
    ssl.X509_set_version(certificate, V3);
    ssl.ASN1_INTEGER_set_uint64(ssl.X509_get_serialNumber(certificate), randomBytes(8).readBigUInt64LE() >> 1n);
    ssl.X509_gmtime_adj(ssl.X509_getm_notBefore(certificate), -3600);
    ssl.X509_gmtime_adj(ssl.X509_getm_notAfter(certificate), days * 86_400);
    ssl.X509_set_pubkey(certificate, key);
    const subject = ssl.X509_get_subject_name(certificate);
    const name = Buffer.from(names[0]);
    ssl.X509_NAME_add_entry_by_txt(subject, 'CN', MBSTRING_UTF8, name, name.length, -1, 0);
    ssl.X509_set_issuer_name(certificate, subject);
    extend(certificate, 'subjectAltName', names.map((each) => `${isIP(each) === 0 ? 'DNS' : 'IP'}:${each}`).join(','));
    // The key identifier distinguishes this certificate from others with the same name.
    const id = randomBytes(20).toString('hex');
    extend(certificate, 'subjectKeyIdentifier', id);
    extend(certificate, 'authorityKeyIdentifier', `DER:30168014${id}`);
    extend(certificate, 'basicConstraints', 'critical,CA:TRUE,pathlen:0');
    extend(certificate, 'extendedKeyUsage', 'serverAuth,clientAuth');
    if (ssl.X509_sign(certificate, key, ssl.EVP_sha256()) <= 0) throw refused('the certificate cannot be signed');
    return certificatePem(certificate);
  } finally {
    ssl.X509_free(certificate);
  }
}

function extend(certificate: Pointer, name: string, value: string): void {
  const ssl = openssl();
  const extension = ssl.X509V3_EXT_conf(null, null, name, value);
  if (extension === 0) throw refused(`the certificate cannot have ${name} ${value}`);
  ssl.X509_add_ext(certificate, extension, -1);
  ssl.X509_EXTENSION_free(extension);
}

function certificatePem(certificate: Pointer): string {
  const pem = bioText((bio) => openssl().PEM_write_bio_X509(bio, certificate) === 1);
  if (pem === undefined) throw refused('the certificate cannot be written');
  return pem;
}

const V3 = 2;
const MBSTRING_UTF8 = 0x1000;
