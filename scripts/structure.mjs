// `npm run structure`: measures the import graph (types included) and holds it against the rules of
// the house.
//   node scripts/structure.mjs            checks; one line per fault, exit code 1 when there is any
//   node scripts/structure.mjs --json     the figures as one line of JSON
//   node scripts/structure.mjs --write    also draws docs/internals/structure.svg
//
// Rules: no import circle; imports go from the outer layer to the inner one; files and exports have
// limits. Biome checks functions and parameters; what it cannot see (layers, rooms, documentation,
// needless assertions) is checked here.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { circlesOf, pathBetween } from './structure/graph.mjs';
import { drawHouse } from './structure/picture.mjs';
import { LAYERS, layerOf, MAX_LINES, NEVER, roomOf, SOURCE_LAYERS, TABLES } from './structure/rules.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PICTURE = join(root, 'docs/internals/structure.svg');
const flags = new Set(process.argv.slice(2));

const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config;
const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(fileNames, options);
const checker = program.getTypeChecker();
const name = (file) => relative(root, file).split('\\').join('/');
const sources = program.getSourceFiles().filter(({ fileName }) => LAYERS.includes(layerOf(name(fileName))));

/** file -> set of files that it imports, by value or by type. */
const imports = new Map(sources.map(({ fileName }) => [name(fileName), new Set()]));
const faults = [];
const fault = (source, node, text) => {
  const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
  faults.push(`${name(source.fileName)}:${line + 1}: ${text}`);
};

function readImports(source) {
  const from = name(source.fileName);
  const visit = (node) => {
    let specifier;
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) specifier = node.moduleSpecifier;
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      specifier = node.arguments[0];
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) specifier = node.argument.literal;
    if (specifier !== undefined && ts.isStringLiteral(specifier) && specifier.text.startsWith('.')) {
      const target = posix.join(posix.dirname(from), specifier.text).replace(/\.js$/, '.ts');
      if (imports.has(target)) imports.get(from).add(target);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

/** Exported declarations have a comment of their own. */
function checkDocumentation(source) {
  for (const statement of source.statements) {
    const exported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (!exported || ts.isModuleDeclaration(statement)) continue;
    if (ts.getJSDocCommentsAndTags(statement).length > 0) continue;
    const declared = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations[0].name
      : statement.name;
    // An implementation below its overloads, or a type beside the constant of the same name, shares
    // the comment.
    const shared = source.statements.some(
      (other) =>
        other !== statement &&
        ts.getJSDocCommentsAndTags(other).length > 0 &&
        (ts.isVariableStatement(other) ? other.declarationList.declarations[0].name : other.name)?.text ===
          declared?.text,
    );
    if (!shared) fault(source, statement, `the export ${declared?.text ?? 'default'} has no documentation comment`);
  }
}

/** `x!` where x is never null or undefined says something that is not so. */
function checkAssertions(source) {
  const visit = (node) => {
    if (ts.isNonNullExpression(node)) {
      const type = checker.getTypeAtLocation(node.expression);
      const parts = type.isUnion() ? type.types : [type];
      const nullable = parts.some(
        ({ flags: f }) =>
          f &
          (ts.TypeFlags.Null |
            ts.TypeFlags.Undefined |
            ts.TypeFlags.Any |
            ts.TypeFlags.Unknown |
            ts.TypeFlags.TypeParameter |
            ts.TypeFlags.IndexedAccess),
      );
      if (!nullable) fault(source, node, `needless "!" after ${node.expression.getText(source).slice(0, 40)}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

for (const source of sources) {
  readImports(source);
  const file = name(source.fileName);
  checkAssertions(source);
  if (SOURCE_LAYERS.includes(layerOf(file))) checkDocumentation(source);
  const lines = source.text.split('\n').length - 1;
  if (lines > MAX_LINES && !TABLES.has(file)) faults.push(`${file}:1: ${lines} lines; at most ${MAX_LINES}`);
}

const circles = circlesOf(imports);
for (const circle of circles)
  faults.push(`${circle[0]}:1: import circle of ${circle.length} files: ${circle.join(', ')}`);

let upward = 0;
for (const [from, targets] of imports)
  for (const to of targets) {
    if (LAYERS.indexOf(layerOf(to)) <= LAYERS.indexOf(layerOf(from))) continue;
    upward++;
    faults.push(`${from}:1: imports ${to}, which is in an outer layer`);
  }

// Rooms: the folders at the top of failover/ and stack/. What holds for files holds for them.
const rooms = new Map();
for (const [from, targets] of imports) {
  const room = roomOf(from);
  if (room === undefined) continue;
  if (!rooms.has(room)) rooms.set(room, new Set());
  for (const to of targets) {
    const other = roomOf(to);
    if (other !== undefined && other !== room) rooms.get(room).add(other);
  }
}
const roomCircles = circlesOf(rooms);
for (const circle of roomCircles) {
  const ties = [...imports].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => roomOf(from) !== roomOf(to) && circle.includes(roomOf(from)) && circle.includes(roomOf(to)))
      .map((to) => `${from} -> ${to}`),
  );
  faults.push(`${circle[0]}: circle of rooms: ${circle.join(', ')}\n    ${ties.join('\n    ')}`);
}

for (const [from, to, why] of NEVER) {
  for (const file of imports.keys()) {
    if (!file.startsWith(from)) continue;
    const path = pathBetween(imports, file, (target) => target.startsWith(to));
    if (path !== undefined) faults.push(`${file}:1: must not reach ${to} (${why}): ${path.join(' -> ')}`);
  }
}

const picture = drawHouse(rooms);
if (flags.has('--write')) writeFileSync(PICTURE, picture);
else {
  let old = '';
  try {
    old = readFileSync(PICTURE, 'utf8');
  } catch {}
  if (old !== picture)
    faults.push('docs/internals/structure.svg:1: is not the picture of this code; run npm run structure -- --write');
}

const top = [...rooms.keys()].filter((room) => room.startsWith('failover/') && room !== 'failover/index');
const figures = {
  files: imports.size,
  arrows: [...imports.values()].reduce((sum, targets) => sum + targets.size, 0),
  circles: circles.length,
  upward,
  failoverRooms: top.length,
  roomArrows: [...rooms.values()].reduce((sum, targets) => sum + targets.size, 0),
  roomCircles: roomCircles.length,
  faults: faults.length,
};
if (flags.has('--json')) console.log(JSON.stringify(figures));
else {
  for (const text of faults) console.log(text);
  console.log(
    `${figures.files} files, ${figures.arrows} imports, ${circles.length} circles, ${upward} upward, ${figures.failoverRooms} rooms in failover/, ${faults.length} faults`,
  );
}
process.exit(faults.length === 0 ? 0 : 1);
