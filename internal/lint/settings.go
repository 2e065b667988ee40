package lint

// skippedDirs are names of directories that hold nothing written by hand, or no Go code of the
// project.
var skippedDirs = map[string]bool{".git": true, "bin": true, "testdata": true, "node_modules": true}

// testSupport are packages that only tests and examples import.
var testSupport = []string{"internal/testkit/etcdtest", "internal/etcdfake",
	"internal/testkit/faultnet", "internal/testkit/chaos", "internal/testkit/testclient",
	"internal/lint"}

// rootImporters are the packages in internal/ that may import the root package.
var rootImporters = []string{
	"internal/testkit/testclient", // makes clients for black-box tests, and only tests import it
}

// stateMachines are packages of pure data: no goroutine, no channel, no logger, no gRPC.
var stateMachines = []string{"internal/watchmux", "internal/keepalive"}

// goroutineFiles may start goroutines: the machinery, and the parts of the API whose background
// work has no smaller home.
var goroutineFiles = []string{
	"internal/etcdfake",                    // serves
	"internal/testkit/faultnet",            // accepts and forwards
	"internal/testkit/testclient/load.go",  // puts until it is told to stop
	"internal/testkit/etcdtest/process.go", // reaps one server process
	"internal/bidi/bidi.go",                // the receive and the send loop of a link
	"internal/outbox/outbox.go",            // the pump, while there is a backlog
	"client.go",                            // auto-sync
	// one question to each endpoint, all answered before New returns
	"endpoints.go",
	// the copier of one GetStream, which ends with its context
	"kv_stream.go",
	// one Authenticate request, which outlives the caller that started it
	"internal/authtoken/flight.go",
	// copies the channel of a foreign Watcher; the Close of the namespace waits
	"namespace/relay.go",
	// reads pages, until its reader leaves or the client is closed
	"mirror/base.go",
	// asks every endpoint for its revision; the caller waits
	"ordering/switch.go",
	"naming/endpoints/watch.go",     // one follower for each watch channel
	"naming/resolver/resolver.go",   // one for each connection
	"mock/mockserver/mockserver.go", // serves
	// what a session does until it ends, and its clean-up; Close waits
	"concurrency/background.go",
	"concurrency/observe.go", // one observer, which ends with its context
	// follows the health of each connection; ends with the policy, which waits for it
	"internal/balancer/health_check.go",
	// asks for the TTLs of leases, while there are some in doubt; Close waits
	"lease_doubt.go",
	"internal/balancer/tick.go", // probes of members, each bounded; Close waits for them
	// the sessions, one after another, which the closing function ends and waits for
	"leasing/leasing.go",
	// one kept key, until its term ends; the closing function waits
	"leasing/tenancy.go",
}

// rootContextFiles may make a context that descends from none.
var rootContextFiles = []string{
	// gRPC builds policies without a context; ends with its policy
	"internal/balancer/health_check.go",
	"internal/retry/conn.go",    // carries metadata; nothing waits on it
	"client.go",                 // the context of a zero Client
	"config.go",                 // where Config.Context is nil
	"concurrency/session.go",    // of the zero Session
	"internal/etcdfake",         // owns streams without a network
	"internal/testkit/faultnet", // owns connections that come from outside
	"keepalive.go",              // a Lease without a client
	"watcher.go",                // where NewWatchFromWatchClient has no client
	// owns processes that outlive the request that started them
	"internal/testkit/etcdtest",
}

// wallClockFiles may turn a time into a number of the wall clock, which is no deadline there.
var wallClockFiles = []string{
	"experimental/recipes/wait.go", // part of a unique name
}

// panicFiles may panic: documented checks of arguments that are wrong at compile time.
var panicFiles = []string{
	"mirror/syncer.go", "op.go", "compare.go", "txn.go",
	"concurrency/locker.go", // a sync.Locker cannot return errors
	// unwinds the function of a transaction whose read has failed, and recovers
	"concurrency/stm_run.go",
}

// Other modules, by what they are for.
var (
	etcdAPI = []string{"go.etcd.io/etcd/api/v3/..."}
	grpc    = []string{"google.golang.org/grpc/..."}
	zap     = []string{"go.uber.org/zap/..."}
	testify = []string{"github.com/stretchr/testify/..."}
)

// importTable is the graph of imports: what is missing here is not allowed.
var importTable = map[string]Imported{
	".": {
		Own: []string{
			"credentials", "internal/watchmux", "internal/keepalive", "internal/bidi",
			"internal/outbox", "internal/retry", "internal/authtoken",
			"internal/endpoint", "internal/resolver", "internal/balancer", "internal/classify",
			"internal/backoff", "internal/wire", "internal/origin",
		},
		Others: join(etcdAPI, grpc, zap, []string{"github.com/coreos/go-semver/semver",
			"go.etcd.io/etcd/client/pkg/v3/...", "google.golang.org/protobuf/..."}),
	},

	"clientv3util": {Own: []string{"."}},
	"concurrency": {Own: []string{".", "internal/backoff", "internal/classify",
		"internal/retry"}, Others: join(etcdAPI, zap)},
	"credentials": {Others: join(etcdAPI, grpc)},
	"experimental/recipes": {Own: []string{".", "concurrency", "internal/backoff",
		"internal/classify"}, Others: etcdAPI},
	"kubernetes": {Own: []string{"."}, Others: etcdAPI},
	"leasing": {Own: []string{".", "concurrency", "internal/backoff",
		"internal/classify"}, Others: join(etcdAPI, grpc)},
	"mirror":          {Own: []string{"."}, Others: etcdAPI},
	"mock/mockserver": {Others: join(etcdAPI, grpc)},
	"namespace":       {Own: []string{"."}, Others: etcdAPI},
	"naming":          {},
	// status codes
	"naming/endpoints": {Own: []string{".", "internal/backoff"}, Others: join(etcdAPI, grpc)},
	"naming/resolver": {Own: []string{".", "naming/endpoints", "internal/backoff"},
		Others: grpc},
	"ordering": {Own: []string{".", "internal/backoff"}, Others: etcdAPI},
	// bounds what waits for the disk
	"snapshot": {Own: []string{"."},
		Others: join(etcdAPI, zap, []string{"google.golang.org/grpc"})},
	"yaml": {Own: []string{"."}, Others: join(zap, []string{"sigs.k8s.io/yaml"})},

	"internal/authtoken": {Others: join(etcdAPI,
		[]string{"google.golang.org/grpc/credentials"})},
	"internal/backoff": {},
	"internal/balancer": {Own: []string{"internal/backoff", "internal/endpoint",
		"internal/memberhealth", "internal/origin"}, Others: join(etcdAPI, grpc)},
	"internal/bidi": {Own: []string{"internal/backoff"}},
	"internal/classify": {Others: join(etcdAPI,
		[]string{"google.golang.org/grpc", "google.golang.org/grpc/codes",
			"google.golang.org/grpc/status"})},
	"internal/endpoint": {Others: []string{"google.golang.org/grpc/attributes",
		"google.golang.org/grpc/credentials/...", "google.golang.org/grpc/resolver"}},
	"internal/keepalive":    {Own: []string{"internal/bidi", "internal/classify"}, Others: etcdAPI},
	"internal/memberhealth": {},
	"internal/origin":       {},
	"internal/outbox":       {},
	"internal/resolver":     {Own: []string{"internal/endpoint"}, Others: grpc},
	"internal/retry": {Own: []string{"internal/backoff", "internal/classify"},
		Others: join(etcdAPI, grpc, zap)},
	"internal/watchmux": {Own: []string{"internal/bidi", "internal/classify"}, Others: etcdAPI},
	"internal/wire": {Others: join(etcdAPI,
		[]string{"google.golang.org/protobuf/...", "google.golang.org/grpc/encoding/...",
			"google.golang.org/grpc/mem"})},

	"internal/etcdfake": {Others: join(etcdAPI, grpc, testify,
		[]string{"google.golang.org/protobuf/..."})},
	"internal/testkit/etcdtest": {Own: []string{"internal/backoff"},
		Others: join(etcdAPI, grpc, testify)},
	"internal/testkit/faultnet": {Others: testify},
	"internal/testkit/chaos": {Own: []string{"internal/backoff", "internal/testkit/etcdtest",
		"internal/testkit/faultnet"}, Others: testify},

	"internal/testkit/testclient": {
		Own:    []string{".", "internal/etcdfake", "internal/testkit/etcdtest"},
		Others: join(testify, zap),
	},

	"test/auth":   {}, // tests only
	"test/client": {},

	"internal/lint":          {},
	"internal/lint/apicheck": {Own: []string{"internal/lint/apilist"}},
	"internal/lint/apilist":  {},

	"examples/quickstart": {Own: []string{".", "internal/testkit/etcdtest"}},
}

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
