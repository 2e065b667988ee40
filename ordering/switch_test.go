package ordering

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// fakes starts members that share nothing, each at the given revision.
func fakes(t *testing.T, revisions ...int64) (servers []*etcdfake.Server, endpoints []string) {
	t.Helper()
	for _, rev := range revisions {
		s := etcdfake.Start(t)
		for s.Revision() < rev {
			_, err := s.Apply(t.Context(), "Put",
				&pb.PutRequest{Key: []byte("k"), Value: fmt.Append(nil, s.Revision()+1)})
			require.NoError(t, err)
		}
		servers, endpoints = append(servers, s), append(endpoints, s.Addr())
	}
	return servers, endpoints
}

func get(t *testing.T, kv clientv3.KV) (int64, error) {
	t.Helper()
	resp, err := kv.Get(t.Context(), "k", clientv3.WithSerializable())
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// TestSwitchAwayFromMembersBehind: before each read, the endpoints are set to members that are
// behind and one that is not. All reads succeed, so each request has its own count of old
// responses.
func TestSwitchAwayFromMembersBehind(t *testing.T) {
	_, eps := fakes(t, 9, 4, 6)
	client := newClient(t, eps...)
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	client.SetEndpoints(eps[0])
	rev, err := get(t, kv)
	require.NoError(t, err)
	require.EqualValues(t, 9, rev)
	for range 10 * maxViolations {
		client.SetEndpoints(eps...)
		rev, err := get(t, kv)
		require.NoError(t, err)
		require.EqualValues(t, 9, rev)
	}
}

// TestTheCountIsOfOneRequest: every second response of the only member has an old revision. All
// reads succeed: maxViolations limits how many old responses one request may get, not how many the
// client gets.
func TestTheCountIsOfOneRequest(t *testing.T) {
	servers, eps := fakes(t, 1)
	var mu sync.Mutex
	answers := 0
	servers[0].Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
		mu.Lock()
		defer mu.Unlock()
		answers++
		return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: int64(20 + answers%2)}}, nil
	})
	client := newClient(t, eps...)
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	for range 4 * maxViolations {
		rev, err := get(t, kv)
		require.NoError(t, err)
		require.EqualValues(t, 21, rev)
	}
	require.Equal(t, 2*4*maxViolations-1, answers)
}

func TestNoMemberIsAhead(t *testing.T) {
	servers, eps := fakes(t, 9, 4, 4)
	client := newClient(t, eps[0])
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	_, err := get(t, kv)
	require.NoError(t, err)
	servers[0].Stop()
	client.SetEndpoints(eps[1:]...)
	_, err = get(t, kv)
	require.Equal(t, ErrNoGreaterRev, err)
	require.Equal(t, maxViolations+1, servers[1].Calls("Range")+servers[2].Calls("Range"))
	require.Equal(t, eps[1:], client.Endpoints())

	// One of the two members that are behind catches up.
	for servers[1].Revision() < 9 {
		_, err := servers[1].Apply(t.Context(), "Put", &pb.PutRequest{Key: []byte("k")})
		require.NoError(t, err)
	}
	rev, err := get(t, kv)
	require.NoError(t, err)
	require.EqualValues(t, 9, rev)
}

// TestTheSwitchEnds: after violations the client uses only its endpoints that have the newest
// revision. The client gets all endpoints back after a while, unless the program has set other
// endpoints meanwhile.
func TestTheSwitchEnds(t *testing.T) {
	_, eps := fakes(t, 9, 4)
	client := newClient(t, eps...)
	s := &switcher{client: client, lasts: 100 * time.Millisecond}
	violate := func() {
		assert.NoError(t, s.violated(numbered(clientv3.OpGet("k"), 1), clientv3.OpResponse{}, 9))
	}
	back := func() bool { return len(client.Endpoints()) == 2 }
	for range 3 {
		violate()
		violate()
		require.Equal(t, eps[:1], client.Endpoints())
		require.Eventually(t, back, time.Minute, time.Millisecond)
		require.Equal(t, eps, client.Endpoints())
	}
	violate()
	client.SetEndpoints(eps[1])
	s.switchBack()
	require.Equal(t, eps[1:], client.Endpoints())
}

// TestCallsWithoutANumberAreCounted: a KV of this package counts the old responses to a request,
// and stores the count in the op. If a program calls the OrderViolationFunc itself, the op has no
// number. The function then counts its calls itself.
func TestCallsWithoutANumberAreCounted(t *testing.T) {
	_, eps := fakes(t, 4)
	f := NewOrderViolationSwitchEndpointClosure(newClient(t, eps...))
	for range 2 {
		for range maxViolations {
			require.NoError(t, f(clientv3.OpGet("k"), clientv3.OpResponse{}, 9))
		}
		require.Equal(t, ErrNoGreaterRev, f(clientv3.OpGet("k"), clientv3.OpResponse{}, 9))
	}
}

// TestASilentMemberDelaysASwitchByLittle: after a response that is too old, the switcher asks all
// members for their revisions, and then limits the client to some of them. A member that does not
// answer delays this by little.
func TestASilentMemberDelaysASwitchByLittle(t *testing.T) {
	servers, eps := fakes(t, 9, 4, 9)
	client := newClient(t, eps...)
	servers[2].Delay("Status", time.Hour)
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	client.SetEndpoints(eps[0])
	_, err := get(t, kv)
	require.NoError(t, err)
	client.SetEndpoints(eps...)
	took := testclient.Stopwatch(t)
	for range 3 {
		_, err = get(t, kv)
		require.NoError(t, err)
	}
	require.Less(t, took(), 10*askTimeout)
}

// TestManyReadersSwitchTogether: eight goroutines read, and one of them again and again sets
// endpoints of which one is behind. No read fails or returns an old revision.
func TestManyReadersSwitchTogether(t *testing.T) {
	_, eps := fakes(t, 9, 4)
	client := newClient(t, eps...)
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	client.SetEndpoints(eps[0])
	_, err := get(t, kv)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				if i == 0 && j%5 == 0 {
					client.SetEndpoints(eps...)
				}
				rev, err := get(t, kv)
				assert.NoError(t, err)
				assert.EqualValues(t, 9, rev)
			}
		})
	}
	wg.Wait()
}
