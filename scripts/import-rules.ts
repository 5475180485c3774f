/** The rules of imports, applied to the text of one file. A floor imports only from the floors below it. */
import { posix } from 'node:path';
import ts from 'typescript';

export interface Violation {
  readonly line: number;
  readonly message: string;
}

/**
 * Checks one file.
 * @param path the path from the project's root, with forward slashes.
 * @param text the content of the file.
 * @param entries the source file of each public name of the package: `wantio/tls` → `protocols/tls/index.ts`.
 * @returns the violations, in the order of the file.
 */
export function checkFile(path: string, text: string, entries: ReadonlyMap<string, string>): Violation[] {
  const file: CheckedFile = { path, floor: floorOf(path), isTest: path.endsWith('.test.ts') };
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const violations: Violation[] = [];
  const report = (node: ts.Node, message: string | undefined): void => {
    if (message === undefined) return;
    const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
    violations.push({ line, message });
  };

  const visit = (node: ts.Node): void => {
    const imported = importOf(node);
    if (imported) report(node, checkImport(file, imported, entries));
    if (file.floor === 'core' && !file.isTest) report(node, ambientUse(node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return violations;
}

/** @returns the files of the project that a file imports, types included; from the project's root. */
export function importsOf(path: string, text: string): string[] {
  const imports: string[] = [];
  const visit = (node: ts.Node): void => {
    const specifier = importOf(node)?.specifier;
    if (specifier?.startsWith('.') === true) imports.push(posix.join(posix.dirname(path), specifier));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return imports;
}

interface CheckedFile {
  readonly path: string;
  readonly floor: string;
  readonly isTest: boolean;
}

interface Import {
  readonly specifier: string;
  /** The imported names; `undefined` for the whole module, or if the names are unknown. */
  readonly names: readonly string[] | undefined;
}

function checkImport(
  file: CheckedFile,
  { specifier, names }: Import,
  entries: ReadonlyMap<string, string>,
): string | undefined {
  if (specifier.startsWith('node:')) return checkBuiltin(file, specifier, names);
  if (isBareBuiltin(specifier)) return `write 'node:${specifier}'`;
  if (specifier === 'koffi') {
    return FOREIGN_FILES.has(file.path)
      ? undefined
      : `koffi: foreign functions are declared only in ${[...FOREIGN_FILES].join(' and ')}`;
  }

  const relative = specifier.startsWith('.');
  const target = relative ? posix.join(posix.dirname(file.path), specifier) : entries.get(specifier);
  if (target === undefined) {
    return /^wantio(\/|$)/.test(specifier) ? `'${specifier}' is not exported by package.json` : undefined;
  }
  if (relative && file.floor === 'samples' && !file.isTest)
    return `a sample imports what its users can: 'wantio…', not '${specifier}'`;
  return checkFloors(file.floor, floorOf(target), specifier);
}

function checkFloors(from: string, to: string, specifier: string): string | undefined {
  if (from === to || from === 'scripts') return undefined;
  if (from === 'benchmarks')
    return to === 'samples' || to === 'scripts' ? `benchmarks must not import ${to}: '${specifier}'` : undefined;
  if (from === '') return undefined;
  if (!FLOORS.includes(to)) return `nothing imports ${to || 'the root'}: '${specifier}'`;
  return FLOORS.indexOf(to) > FLOORS.indexOf(from)
    ? `${from} must not know ${to}, which lies above it: '${specifier}'`
    : undefined;
}

function checkBuiltin(file: CheckedFile, specifier: string, names: readonly string[] | undefined): string | undefined {
  if (file.isTest || OUTSIDE.has(file.floor)) return undefined;
  if (file.floor === 'core') return `core has no I/O: '${specifier}'`;
  if (!STREAM_MODULES.has(specifier.replace(/^(node:\w+)\/.*$/, '$1'))) return undefined;
  const allowed = ALLOWANCES.find(
    (allowance) => file.path.startsWith(allowance.under) && allowance.module === specifier,
  );
  if (allowed && names?.every((name) => allowed.names.includes(name))) return undefined;
  const except = allowed ? ` (only ${allowed.names.join(', ')})` : '';
  return `no '${specifier}' under a wantio socket${except}`;
}

/** In core, the clock, timers and the process are arguments, so it must not use the global ones. */
function ambientUse(node: ts.Node): string | undefined {
  if (!ts.isIdentifier(node)) return undefined;
  const { parent, text } = node;
  const isMember = (ts.isPropertyAccessExpression(parent) && parent.name === node) || isPropertyName(node);
  if (isMember) return undefined;
  if (AMBIENT.has(text)) return `core must not use ${text}`;
  if (
    (text === 'Date' || text === 'performance') &&
    ts.isPropertyAccessExpression(parent) &&
    parent.name.text === 'now'
  ) {
    return `core must not use ${text}.now: 'now' is an argument`;
  }
  if (text === 'Date' && ts.isNewExpression(parent)) return `core must not use new Date: 'now' is an argument`;
  return undefined;
}

function isPropertyName(node: ts.Identifier): boolean {
  const { parent } = node;
  return (
    (ts.isPropertyAssignment(parent) ||
      ts.isPropertySignature(parent) ||
      ts.isPropertyDeclaration(parent) ||
      ts.isMethodDeclaration(parent) ||
      ts.isMethodSignature(parent)) &&
    parent.name === node
  );
}

function importOf(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, names: namesOf(node.importClause) };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.exportClause;
    return {
      specifier: node.moduleSpecifier.text,
      names: clause && ts.isNamedExports(clause) ? clause.elements.map(originalName) : undefined,
    };
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return { specifier: node.argument.literal.text, names: undefined };
  }
  if (!ts.isCallExpression(node) || !ts.isStringLiteralLike(node.arguments[0] ?? node)) return undefined;
  const dynamic =
    node.expression.kind === ts.SyntaxKind.ImportKeyword ||
    (ts.isIdentifier(node.expression) && node.expression.text === 'require');
  return dynamic ? { specifier: (node.arguments[0] as ts.StringLiteralLike).text, names: undefined } : undefined;
}

function namesOf(clause: ts.ImportClause | undefined): string[] | undefined {
  const bindings = clause?.namedBindings;
  if (clause?.name || !bindings || !ts.isNamedImports(bindings)) return undefined;
  return bindings.elements.map(originalName);
}

function originalName(element: ts.ImportSpecifier | ts.ExportSpecifier): string {
  return (element.propertyName ?? element.name).text;
}

function floorOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

function isBareBuiltin(specifier: string): boolean {
  return (
    STREAM_MODULES.has(`node:${specifier}`) ||
    ['fs', 'path', 'os', 'crypto', 'events', 'util', 'dns', 'child_process', 'worker_threads'].includes(specifier)
  );
}

/** The floors from bottom to top. */
const FLOORS: readonly string[] = ['core', 'reactor', 'protocols', 'property-tests', 'samples'];

/**
 * Folders outside of the floors, which may import anything from Node.js. '' is the root with its configuration files.
 */
const OUTSIDE = new Set(['benchmarks', 'scripts', '']);

const FOREIGN_FILES = new Set(['reactor/epoll/libc.ts', 'protocols/tls/openssl.ts']);

const STREAM_MODULES = new Set(['node:net', 'node:tls', 'node:stream', 'node:http', 'node:https', 'node:http2']);

/** Exceptions at the edges: names of Node modules that are constants, pure functions or an adapter. */
const ALLOWANCES: readonly { readonly under: string; readonly module: string; readonly names: readonly string[] }[] = [
  { under: 'protocols/tls/', module: 'node:tls', names: ['rootCertificates'] },
  { under: 'reactor/', module: 'node:net', names: ['isIP', 'isIPv4', 'isIPv6'] },
  { under: 'protocols/', module: 'node:net', names: ['isIP', 'isIPv4', 'isIPv6'] },
  // Only these files connect connections with Node streams.
  { under: 'reactor/streams/', module: 'node:stream', names: ['Duplex'] },
  {
    under: 'reactor/streams/',
    module: 'node:stream/web',
    names: ['ReadableByteStreamController', 'ReadableStream', 'WritableStream', 'WritableStreamDefaultController'],
  },
  { under: 'reactor/testing/stream-pair.ts', module: 'node:stream', names: ['Duplex'] },
  // HTTP of Node over such a stream.
  {
    under: 'protocols/https/',
    module: 'node:http',
    names: [
      'request',
      'validateHeaderName',
      'validateHeaderValue',
      'ClientRequest',
      'IncomingHttpHeaders',
      'IncomingMessage',
      'OutgoingHttpHeaders',
    ],
  },
  { under: 'samples/https-server.ts', module: 'node:http', names: ['createServer'] },
];

const AMBIENT = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'process',
]);
