package lint

// skippedDirs are names of directories that no rule looks at.
var skippedDirs = map[string]bool{".git": true, "bin": true, "testdata": true, "node_modules": true}

// stateMachines are packages that must not use goroutines or channels.
var stateMachines = []string{"internal/watchmux", "internal/keepalive", "internal/keystate",
	"internal/memberhealth", "etcdfake/internal/store", "etcdfake/internal/boltfile",
	"cache/internal/evaluate", "cache/internal/fill", "cache/internal/keytree",
	"cache/internal/question", "cache/internal/watchindex"}

// goroutineFiles are the files and directories whose code may start goroutines, each with what its
// goroutines do.
var goroutineFiles = []string{
	"internal/etcdfake",                    // handlers of streams
	"internal/testkit/pipes",               // handlers of streams
	"etcdfake/member.go",                   // serves, until the member stops
	"etcdfake/stream.go",                   // the handler of a stream, which its member waits for
	"internal/testkit/faultnet",            // accepts and forwards
	"internal/testkit/randomwatch",         // reads watches until their context ends
	"internal/testkit/testclient",          // puts until it is stopped, and measures time
	"internal/testkit/etcdtest/process.go", // reaps one server process
	"internal/testkit/fakeserver",          // serves until it is killed
	"internal/bidi/bidi.go",                // the receive and the send loop of a link
	"internal/outbox/outbox.go",            // the pump, while there is a backlog
	"client.go",                            // auto-sync
	// asks each endpoint once; New waits for all answers
	"endpoints.go",
	// copies the responses of one GetStream, until the context of the call ends
	"kv_stream.go",
	// one Authenticate request, which outlives the caller that started it
	"internal/authtoken/authtoken.go",
	// copies the channel of a Watcher that is not a Client's; Close of the namespace waits
	"namespace/relay.go",
	// reads pages, until its reader leaves or the client is closed
	"mirror/base.go",
	// asks every endpoint for its revision; the caller waits
	"ordering/switch.go",
	"naming/endpoints/watch.go",     // one follower for each watch channel
	"naming/resolver/resolver.go",   // one for each connection
	"mock/mockserver/mockserver.go", // serves
	// the background work of a session and its clean-up; Close of the session ends both and waits
	"concurrency/cleaner.go",
	"concurrency/observe.go", // one observer, which ends with its context
	// follows the health of each connection; ends with the policy, which waits for it
	"internal/balancer/conn.go",
	// asks for the TTLs of leases that may be gone, until all are answered; Wait waits
	"internal/keepalive/confirm.go",
	"internal/balancer/tick.go", // probes of members, each bounded; Close waits for them
	// serves one session after another; the closing function ends it and waits
	"leasing/kv.go",
	// acquires, keeps and releases one lease key; the closing function waits
	"leasing/owner.go",
	// gets events of past revisions, which a cache no longer has, from the server; Close waits
	"cache/watch_source.go",
	// relays the server's responses to watches that a cache cannot answer; Close waits
	"cache/watch_direct.go",
	"cache/follow.go", // what keeps a copy up to date, until Close, which waits
	"cache/list.go",   // the reader of a list's pages, until the list is over; Close waits
	"cache/trust.go",  // asks the endpoints for their versions; the last Close of a cache waits
	"cache/ask.go",    // the questions of all caches of a client, while readers wait for them
}

// withoutExample are exported functions that no example of their package uses.
var withoutExample = []string{
	// deprecated, or a setting of the whole process, which an example must not change
	"ClientLogLevel", "CreateDefaultZapLogger", "CreateDefaultZapLoggerConfig", "SetLogger",
	"snapshot/Save",
	// conversions and predicates: code that wraps a client calls them
	"AuthConfig.Empty", "ErrKeepAliveHalted.Error", "ErrKeepAliveHalted.Unwrap", "OpCompact",
	"DeleteResponse.OpResponse", "GetResponse.OpResponse", "PutResponse.OpResponse",
	"TxnResponse.OpResponse", "OpResponse.Del",
	"Cluster.MemberAdd",                   // as MemberAddAsLearner
	"experimental/recipes/RemoteKV.Value", // of keys that no exported function makes
}
