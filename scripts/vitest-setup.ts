/** Runs before each test file: every property starts from the run's one seed, so that `WANTIO_SEED` replays it. */
import fc from 'fast-check';

const seed = Number(process.env.WANTIO_SEED);
if (!Number.isInteger(seed)) throw new Error(`WANTIO_SEED must be an integer, not "${process.env.WANTIO_SEED ?? ''}"`);
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
