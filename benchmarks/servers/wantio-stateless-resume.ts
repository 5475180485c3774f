/** Sessions in tickets. */
import { serveResuming } from './wantio-resume.ts';

await serveResuming({ resumption: 'stateless' });
