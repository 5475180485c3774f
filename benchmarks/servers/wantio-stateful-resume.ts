/** Sessions in OpenSSL's own cache. */
import { serveResuming } from './wantio-resume.ts';

await serveResuming({ resumption: 'stateful' });
