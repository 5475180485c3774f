/** Fetches Node.js binaries of other major versions from the npm registry into `.cache/node/VERSION`. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** An error whose message is enough for the user. The stack trace does not matter. */
export class FetchError extends Error {}

/** @returns the path and the version of the newest `node` of this major version. */
export async function fetchNode(major: number, cache: string): Promise<{ version: string; binary: string }> {
  const name = `node-linux-${process.arch}`;
  const version = await newestVersion(name, major, cache);
  const target = join(cache, version);
  const binary = join(target, 'bin', 'node');
  if (existsSync(binary)) return { version, binary };

  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, '.fetch-'));
  try {
    const archive =
      (await run('npm', ['pack', '--loglevel=error', `${name}@${version}`], work)).trim().split('\n').at(-1) ?? '';
    await run('tar', ['-xzf', archive], work);
    rmSync(target, { recursive: true, force: true });
    renameSync(join(work, 'package'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  if (!existsSync(binary)) throw new FetchError(`${name}@${version} holds no bin/node`);
  return { version, binary };
}

async function newestVersion(name: string, major: number, cache: string): Promise<string> {
  try {
    const versions = JSON.parse(
      await run('npm', ['view', `${name}@${major}`, 'version', '--json', '--loglevel=error'], '.'),
    ) as string | string[];
    const newest = newestOf([versions].flat(), major);
    if (newest) return newest;
  } catch (error) {
    const cached = newestOf(existsSync(cache) ? readdirSync(cache) : [], major);
    if (!cached) throw error;
    console.error(`npm cannot be reached: using ${cached} from the cache`);
    return cached;
  }
  throw new FetchError(`the registry has no ${name}@${major}`);
}

/** Sorts the versions, because the registry lists them in no useful order. */
function newestOf(versions: readonly string[], major: number): string | undefined {
  const parts = (version: string): number[] => version.split('.').map(Number);
  return versions
    .filter((version) => /^\d+\.\d+\.\d+$/.test(version) && parts(version)[0] === major)
    .sort((a, b) => parts(a)[1] - parts(b)[1] || parts(a)[2] - parts(b)[2])
    .at(-1);
}

async function run(command: string, parameters: string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, parameters, { cwd, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    throw new FetchError(`${command} ${parameters[0]} failed: ${reasonOf(error)}`);
  }
}

/** The first line of npm's error output that is not only a code. */
function reasonOf(error: unknown): string {
  const { stderr = '' } = error as { stderr?: string };
  const reported = /^npm error (?!code |syscall |errno )(.+)$/m.exec(stderr)?.[1] ?? stderr.trim().split('\n').at(-1);
  return reported || (error instanceof Error ? error.message : String(error));
}
