package watchmux

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write what the mux does into the scripts")

// TestScripts runs the scripts under testdata. A script is a list of steps: what happens to the
// mux, a line "----", and what the mux does about it, up to an empty line. Ids of the client's
// choice are written c1, c2, …
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			runScript(t, file)
		})
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	s := newScript(t)
	var out strings.Builder
	for i, step := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		input, want, _ := strings.Cut(step, "----")
		s.log = nil
		for line := range strings.Lines(input) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				s.run(line)
			}
		}
		got := strings.Join(s.log, "\n")
		if !*update {
			assert.Equal(t, strings.TrimSpace(want), got, "%s, step %d:\n%s", file, i+1, input)
		}
		out.WriteString(strings.TrimSpace(input) + "\n----\n" + got + "\n\n")
	}
	if *update {
		require.NoError(t, os.WriteFile(file,
			[]byte(strings.ReplaceAll(out.String(), "\n\n\n", "\n\n")), 0o644))
	}
}

// script drives one mux and writes down what it does.
type script struct {
	t     *testing.T
	mux   *Mux
	sinks map[string]*scriptSink
	log   []string

	reconnect bool // what Config.Refused returns
	queued    int  // what the method Queued returns
}

func newScript(t *testing.T) *script {
	s := &script{t: t, sinks: make(map[string]*scriptSink)}
	s.mux = New(s, Config{
		Window:        3,
		MinBatch:      3,
		TryingOptions: func(id int64) { s.note("trying %s", idString(id)) },
		Holding:       func() { s.note("holding") },
		Refused:       func(reason string) bool { return s.reconnect },
	})
	return s
}

func (s *script) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// Send implements Link.
func (s *script) Send(reqs ...*pb.WatchRequest) {
	for _, r := range reqs {
		s.note("send %s", requestString(r))
	}
}

func (s *script) Queued() int            { return s.queued }
func (s *script) Reconnect(reason error) { s.note("link reconnects: %v", reason) }
func (s *script) Stop()                  { s.note("link stops") }

func requestString(r *pb.WatchRequest) string {
	switch u := r.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		c := u.CreateRequest
		text := fmt.Sprintf("create %s from %d", c.Key, c.StartRevision)
		if c.WatchId != 0 {
			text += " as " + idString(c.WatchId)
		}
		if c.Fragment {
			text += " in fragments"
		}
		return text
	case *pb.WatchRequest_CancelRequest:
		return "cancel " + idString(u.CancelRequest.WatchId)
	default:
		return "progress"
	}
}

func idString(id int64) string {
	if id > firstID {
		return fmt.Sprintf("c%d", id-firstID)
	}
	return strconv.FormatInt(id, 10)
}

func parseID(text string) int64 {
	chosen, ok := strings.CutPrefix(text, "c")
	n, err := strconv.ParseInt(chosen, 10, 64)
	if err != nil {
		panic(err)
	}
	if ok {
		n += firstID
	}
	return n
}

// scriptSink is the sink of one watch. Its name is the watched key.
type scriptSink struct {
	script  *script
	name    string
	watcher Watcher
	full    bool
}

func (k *scriptSink) Created(h *pb.ResponseHeader) {
	k.script.note("%s created at %d", k.name, h.Revision)
}

func (k *scriptSink) Deliver(h *pb.ResponseHeader, events []*mvccpb.Event) bool {
	if len(events) == 0 {
		k.script.note("%s progress to %d", k.name, h.Revision)
		return k.full
	}
	revs := make([]string, 0, len(events))
	for _, e := range events {
		revs = append(revs, strconv.FormatInt(e.GetKv().GetModRevision(), 10))
	}
	k.script.note("%s events %s at %d", k.name, strings.Join(revs, " "), h.Revision)
	return k.full
}

func (k *scriptSink) Done(f Final) {
	switch {
	case f.Err != nil:
		k.script.note("%s done: %v", k.name, f.Err)
	case f.CompactRevision != 0:
		k.script.note("%s done: compacted %d", k.name, f.CompactRevision)
	default:
		k.script.note("%s done: cancelled %q", k.name, f.Reason)
	}
}

// run executes one line of a script: a verb and its arguments. An argument is a word or key=value.
func (s *script) run(line string) {
	words := strings.Fields(line)
	verb, args := words[0], words[1:]
	switch verb {
	case "add": // add a b c rev=5
		for _, name := range names(args) {
			k := &scriptSink{script: s, name: name}
			s.sinks[name] = k
			k.watcher.MergeBytes = int(number(args, "merge"))
			if !s.mux.Add(&k.watcher, &pb.WatchCreateRequest{Key: []byte(name),
				StartRevision: number(args, "rev")}, k) {
				s.note("%s not added", name)
			}
		}
	case "open":
		s.mux.Opened(func(reqs ...*pb.WatchRequest) { s.Send(reqs...) })
	case "break":
		redial, _ := s.mux.Broken(scriptErrors[args[0]])
		s.note("redial %v", redial)
	case "recv":
		before := len(s.log)
		s.mux.Received(parseResponse(args))
		if got := s.log[before:]; !slices.ContainsFunc(got, func(l string) bool {
			return !strings.Contains(l, " progress to ")
		}) {
			slices.Sort(got) // the mux delivers one notice to its watchers in any order
		}
	case "cancel":
		for _, name := range names(args) {
			s.note("%s cancelled: %v", name, s.mux.Cancel(&s.sinks[name].watcher))
		}
	case "full", "roomy":
		s.sinks[args[0]].full = verb == "full"
	case "drained":
		s.mux.Drained(&s.sinks[args[0]].watcher)
	case "progress":
		s.note("requested: %v", s.mux.RequestProgress())
	case "fragments":
		s.mux.cfg.Fragments, s.mux.cfg.Limited = true, slices.Contains(args, "limited")
	case "release":
		s.mux.Release()
	case "check": // check ask quiet
		s.note("sent %v", s.mux.CheckLiveness(slices.Contains(args, "ask"), slices.Contains(args, "quiet")))
	case "look":
		s.note("%s", livenessString(s.mux.Liveness()))
	case "overdue":
		s.mux.Overdue(parseID(args[0]))
	case "halt":
		s.mux.Halt(rpctypes.ErrStopped)
	case "reconnects":
		s.reconnect = args[0] == "true"
	case "queued":
		s.queued = int(parseID(args[0]))
	default:
		require.Fail(s.t, "unknown verb", line)
	}
}

func livenessString(l Liveness) string {
	text := fmt.Sprintf("active %v, %d notices", l.Active, l.Notices)
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{l.CreateStalled, "create stalled"}, {l.WaitsForFuture, "waits for the future"},
		{l.FallsBehind, "catches up"}, {l.Untested, "untested"},
	} {
		if flag.set {
			text += ", " + flag.name
		}
	}
	return text
}

var scriptErrors = map[string]error{
	"unavailable": rpctypes.ErrGRPCStopped,
	"unknown":     os.ErrInvalid, // no gRPC status at all
	"no-leader":   rpctypes.ErrGRPCNoLeader,
	"protocol":    ErrProtocol,
	"refused":     ErrRefused,
	"overdue":     ErrOverdue,
	"unsupported": status.Error(codes.FailedPrecondition, "unsupported options in watch request"),
	"internal":    status.Error(codes.Internal, "what is this"),
	"over-limit": status.Error(codes.ResourceExhausted,
		"grpc: received message larger than max (6 vs. 4)"),
}

func names(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		return strings.Contains(a, "=")
	})
}

func value(args []string, name string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}

func number(args []string, name string) int64 {
	if v := value(args, name); v != "" {
		return parseID(v)
	}
	return 0
}

// parseResponse makes a response from args. An argument is a flag (created, canceled, fragment,
// no-header) or id=, rev=, compact=, reason= or events=. The list events=11,nil has an event at
// revision 11 and an event without a key-value. The argument size= is the size of each value.
func parseResponse(args []string) *pb.WatchResponse {
	flag := func(name string) bool { return slices.Contains(args, name) }
	resp := &pb.WatchResponse{
		Header: &pb.ResponseHeader{Revision: number(args, "rev")}, WatchId: number(args, "id"),
		Created: flag("created"), Canceled: flag("canceled"), Fragment: flag("fragment"),
		CompactRevision: number(args, "compact"), CancelReason: value(args, "reason"),
	}
	if flag("no-header") {
		resp.Header = nil
	}
	for _, text := range strings.FieldsFunc(value(args, "events"), func(r rune) bool {
		return r == ','
	}) {
		e := &mvccpb.Event{}
		if text != "nil" {
			e.Kv = &mvccpb.KeyValue{ModRevision: parseID(text),
				Value: make([]byte, number(args, "size"))}
		}
		resp.Events = append(resp.Events, e)
	}
	return resp
}
