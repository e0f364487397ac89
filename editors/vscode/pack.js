// node pack.js [OUT.vsix]: packs this folder with what it needs at run time. A .vsix is a zip of known layout, so no
// further tool is needed; the zip is written here, stored or deflated, in sorted order and with fixed times.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

const own = ['package.json', 'extension.js', 'view.js', 'icon.svg', 'README.md'];
const skipped = /(\.d\.ts|\.map|\.md|\.ts)$|(^|\/)(test|tests|docs|\.github|\.bin)(\/|$)/i;

/**
 * Every file below a folder.
 * @param {string} folder
 * @returns {string[]}
 */
function below(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    return entry.isDirectory() ? below(file) : [file];
  });
}

/** Packages that are needed at run time, with theirs. @returns {string[]} */
function needed() {
  const found = new Set();
  const wanted = Object.keys(JSON.parse(fs.readFileSync('package.json', 'utf8')).dependencies);
  for (let name = wanted.pop(); name; name = wanted.pop()) {
    if (!found.has(name)) {
      found.add(name);
      const manifest = JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`, 'utf8'));
      wanted.push(...Object.keys(manifest.dependencies || {}));
    }
  }
  return [...found].sort();
}

/** @param {Buffer} bytes */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc >>> 0;
}

/** @param {Buffer} bytes */
function entry(/** @type {string} */ name, bytes) {
  const packed = zlib.deflateRawSync(bytes);
  const head = Buffer.alloc(26);
  head.writeUInt16LE(20, 0);
  head.writeUInt16LE(0x0800, 2);
  head.writeUInt16LE(8, 4);
  // 1980-01-01: the same content gives the same file.
  head.writeUInt16LE(0x0021, 8);
  head.writeUInt32LE(crc32(bytes), 10);
  head.writeUInt32LE(packed.length, 14);
  head.writeUInt32LE(bytes.length, 18);
  head.writeUInt16LE(Buffer.byteLength(name), 22);
  return { name: Buffer.from(name), head, packed };
}

/** @param {[string, Buffer][]} files */
function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [file, bytes] of files) {
    const { name, head, packed } = entry(file, bytes);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), head, name, packed]);
    const central = Buffer.alloc(14);
    central.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), head, central, name]));
    parts.push(local);
    offset += local.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listed, end]);
}

process.chdir(__dirname);
const manifest = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const out = process.argv[2] || `orchestrator-${manifest.version}.vsix`;
const types = ['json', 'vsixmanifest', 'js', 'cjs', 'mjs', 'svg', 'txt', 'md'].map(
  (extension) => `<Default Extension="${extension}" ContentType="application/octet-stream"/>`,
);
const described = `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="${manifest.name}" Version="${manifest.version}" Publisher="${manifest.publisher}"/>
<DisplayName>${manifest.displayName}</DisplayName><Description xml:space="preserve">${manifest.description}</Description>
<Properties><Property Id="Microsoft.VisualStudio.Code.Engine" Value="${manifest.engines.vscode}"/></Properties></Metadata>
<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation><Dependencies/>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>`;
const files = [...own, ...needed().flatMap((name) => below(`node_modules/${name}`))];
/** @type {[string, Buffer][]} */
const content = files
  .filter((file) => own.includes(file) || !skipped.test(file) || /license/i.test(file))
  .map((file) => [`extension/${file}`, fs.readFileSync(file)]);
const head = '<?xml version="1.0" encoding="utf-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">';
fs.writeFileSync(
  out,
  zip([
    ['[Content_Types].xml', Buffer.from(`${head}${types.join('')}</Types>`)],
    ['extension.vsixmanifest', Buffer.from(described)],
    ...content,
  ]),
);
console.log(`${out}: ${content.length} files, ${fs.statSync(out).size} bytes`);
