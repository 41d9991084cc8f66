// A tus server for tests, in a folder and on a port of the loopback interface. Arguments: the port
// (0: any) and the folder. What it does beside the protocol is in FOLDER/told.json, read anew at
// each request: key, user, maxSize, space, checksum, answers ([status, …] for the next PATCHes),
// refuseAt (a PATCH at this offset or later gets `refuseWith`), delayMs, holdAt (a PATCH at this
// offset or later waits until it is told otherwise), location. Each request is a line of
// FOLDER/requests.jsonl.
const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const stream = require('node:stream')
const { Server } = require('@tus/server')
const { FileStore } = require('@tus/file-store')

const [port, folder] = process.argv.slice(2)
const told = () => JSON.parse(fs.readFileSync(path.join(folder, 'told.json'), 'utf8'))
const files = path.join(folder, 'files')
const spent = { seen: '', count: 0 }

class Store extends FileStore {
  constructor(options) {
    super(options)
    const without = told().without ?? []
    this.extensions = this.extensions.filter((name) => !without.includes(name))
  }
}

const tus = new Server({
  path: '/files',
  datastore: new Store({ directory: files }),
  maxSize: async () => told().maxSize ?? 0,
  relativeLocation: true,
  lockDrainTimeout: 50,
  generateUrl: (req, { id, path: at }) => `${told().location ?? ''}${at}/${id}`,
})

function answer(res, status, text, headers = {}) {
  res.writeHead(status, { 'Content-Length': Buffer.byteLength(text), ...headers })
  res.end(text)
}

// The next of the answers that the tests want, each list once.
function wanted(list) {
  const name = JSON.stringify(list)
  if (spent.seen !== name) Object.assign(spent, { seen: name, count: 0 })
  return list[spent.count++]
}

async function bodyOf(req) {
  const parts = []
  for await (const part of req) parts.push(part)
  return Buffer.concat(parts)
}

function replay(req, body) {
  const again = stream.Readable.from(body.length ? [body] : [])
  for (const name of ['headers', 'method', 'url', 'socket', 'httpVersion']) again[name] = req[name]
  return again
}

// As the protocol's checksum extension has it, which this server does not know.
async function checked(req, res) {
  const [algorithm, digest] = req.headers['upload-checksum'].split(' ')
  const body = await bodyOf(req)
  const right = crypto.createHash(algorithm).update(body).digest('base64') === digest
  if (!right) return answer(res, 460, 'Checksum Mismatch')
  return tus.handle(replay(req, body), res)
}

async function handle(req, res) {
  const now = told()
  fs.appendFileSync(path.join(folder, 'requests.jsonl'),
    `${JSON.stringify({ method: req.method, url: req.url, headers: req.headers })}\n`)
  const given = req.headers['x-api-key']
  if (now.key && given !== now.key) return answer(res, given ? 403 : 401, `Key ${given} is not valid`)
  if (now.user && req.headers['x-api-user'] !== now.user) return answer(res, 403, 'Who are you?')
  if (!/^\/files(\/|$)/.test(req.url)) return answer(res, 404, 'Not found')
  if (now.space !== undefined) res.setHeader('X-Loopy-User-Space-Remaining', String(now.space))
  if (now.delayMs) await new Promise((done) => { setTimeout(done, now.delayMs) })
  if (req.method === 'PATCH') {
    while (Number(req.headers['upload-offset']) >= (told().holdAt ?? Infinity)) {
      await new Promise((done) => { setTimeout(done, 20) })
      if (res.closed) return undefined // whoever asked is gone
    }
    const status = now.answers ? wanted(now.answers) : undefined
    if (status) return answer(res, status, 'as told', { 'Retry-After': '0' })
    if (now.refuseAt !== undefined && Number(req.headers['upload-offset']) >= now.refuseAt) {
      return answer(res, now.refuseWith, 'as told')
    }
    if (req.headers['upload-checksum']) return checked(req, res)
  }
  if (req.method === 'OPTIONS' && now.checksum) {
    const set = res.writeHead.bind(res)
    res.writeHead = (status, headers) => set(status, {
      ...headers,
      'Tus-Extension': `${headers?.['Tus-Extension'] ?? res.getHeader('Tus-Extension')},checksum`,
      'Tus-Checksum-Algorithm': now.checksum,
    })
  }
  return tus.handle(req, res)
}

fs.mkdirSync(files, { recursive: true })
const server = http.createServer((req, res) => {
  handle(req, res).catch((error) => {
    console.error(error)
    if (!res.headersSent) answer(res, 500, 'broke')
  })
})
server.listen(Number(port), '127.0.0.1', () => console.log(server.address().port))
