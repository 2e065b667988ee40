package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wantSession is the whole session on a fresh server, without its first line.
const wantSession = `
Put and get
  put greeting "hello"               revision 2
  get greeting                       "hello", written at revision 2
  get nothing                        no such key

Get a range
  put planet/venus                   done
  put planet/earth                   done
  put planet/mars                    done
  get planet/ with its prefix        [earth mars venus]
  get the newest planet              mars, one of 3

Compare and swap
  swap, if still at revision 2       done at revision 6
  swap, if still at revision 2       refused: "good morning" was first

Watch
  put weather "rain"                 revision 7
  watch weather from there           begun
  delete weather                     done
  the watch sees                     PUT at revision 7
  the watch sees                     DELETE at revision 8
  end the watch                      its channel is closed

Lease
  grant a lease                      60 seconds
  put visitor with the lease         done
  keep it alive                      60 seconds from now on
  revoke it                          visitor is gone, too

Delete
  delete all                         4 keys at revision 11
  count what is left                 0

Everything went as expected.
`

func TestSessionOnItsOwnServer(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, ""))
	first, rest, _ := strings.Cut(out.String(), "\n")
	assert.Regexp(t, `^etcd at http://127\.0\.0\.1:\d+, started for this session$`, first)
	assert.Equal(t, wantSession, rest)
}

func TestSessionOnNamedServersTwice(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	client := newClient(t, cluster.Endpoints()...)
	numbers := regexp.MustCompile(`\d+`)
	want := numbers.ReplaceAllString(wantSession, "N")
	for range 2 {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, strings.Join(cluster.Endpoints(), ",")))
		first, rest, _ := strings.Cut(out.String(), "\n")
		assert.Equal(t, "etcd at "+strings.Join(cluster.Endpoints(),
			", ")+", named by "+endpointsEnv, first)
		assert.Equal(t, alignedAs(want), alignedAs(numbers.ReplaceAllString(rest, "N")))
		assert.Zero(t, countKeys(t, client))
	}
}

// alignedAs makes runs of spaces one, since numbers differ in width.
func alignedAs(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func TestServersThatDoNotAnswerFailTheSession(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := run(ctx, &strings.Builder{}, "127.0.0.1:1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "put and get")
}

func TestAMalformedEndpointFailsTheSession(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), &strings.Builder{}, "ftp://nowhere"), "ftp://nowhere")
}

// Each step must notice when the server does not hold what the session wrote.
func TestStepsNoticeSurprises(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := newClient(t, cluster.Endpoints()...)
	for _, tt := range []struct {
		title string
		spoil func(ctx context.Context, s *session) error // before the step
		says  string
	}{
		{"Put and get", put("nothing", "something"), `has the value "something"`},
		{"Get a range", put("planet/moon", "moon"), "got [earth mars moon venus]"},
		{"Compare and swap", nil, "want one greeting, got 0"},
		{"Delete", put("stray", "key"), "want 4 keys deleted, got 1"},
	} {
		t.Run(tt.title, func(t *testing.T) {
			s := &session{client: client, out: &strings.Builder{}, prefix: t.Name() + "/"}
			if tt.spoil != nil {
				require.NoError(t, tt.spoil(t.Context(), s))
			}
			require.ErrorContains(t, s.run(t.Context(), stepNamed(t, tt.title)), tt.says)
		})
	}
}

func TestNextEventsNoticesSurprises(t *testing.T) {
	event := &clientv3.Event{}
	for _, tt := range []struct {
		name      string
		responses []clientv3.WatchResponse
		says      string
	}{
		{"an early end", []clientv3.WatchResponse{{Events: []*clientv3.Event{event}}},
			errEarlyEnd.Error()},
		{"too many", []clientv3.WatchResponse{{Events: []*clientv3.Event{event}},
			{Events: []*clientv3.Event{event, event}}}, "want 2 events"},
		{"an error", []clientv3.WatchResponse{{Canceled: true, CancelReason: "no reason"}},
			"no reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch := make(chan clientv3.WatchResponse, len(tt.responses))
			for _, r := range tt.responses {
				ch <- r
			}
			close(ch)
			_, err := nextEvents(ch, 2)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestAFailedSessionLeavesNoKeys(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := newClient(t, cluster.Endpoints()...)
	errStop := errors.New("stop")
	was := steps
	t.Cleanup(func() { steps = was })
	ctx, cancel := context.WithCancel(t.Context())
	steps = []step{stepNamed(t, "Put and get"), {"Fail", func(context.Context, *session) error {
		assert.EqualValues(t, 1, countKeys(t, client))
		cancel() // as an interrupt would
		return errStop
	}}}
	require.ErrorIs(t, run(ctx, &strings.Builder{}, cluster.Endpoints()[0]), errStop)
	assert.Zero(t, countKeys(t, client))
}

func put(name, value string) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		_, err := s.client.Put(ctx, s.key(name), value)
		return err
	}
}

func stepNamed(t *testing.T, title string) step {
	t.Helper()
	for _, s := range steps {
		if s.title == title {
			return s
		}
	}
	t.Fatalf("no step %q", title)
	return step{}
}

func newClient(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return client
}

func countKeys(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	resp, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	return resp.Count
}
