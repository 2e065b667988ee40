package clientv3

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// tooManyOnTheWire is what an etcd server sends: its own error is no gRPC status, so
// the code is Unknown.
var tooManyOnTheWire = status.Error(codes.Unknown, rpctypes.ErrTooManyRequests.Error())

// TestWriteRefusedWithTooManyRequestsGoesToAnotherMember shows that a write which a
// member refuses so is sent once to each other member at most, as etcd refuses it
// before proposing it, and that no write is applied twice.
func TestWriteRefusedWithTooManyRequestsGoesToAnotherMember(t *testing.T) {
	for name, even := range map[string]bool{"judged": false, "evenly": true} {
		for refusing := 1; refusing <= 3; refusing++ {
			t.Run(name, func(t *testing.T) {
				members := etcdfake.StartCluster(t, 3)
				var eps []string
				for _, m := range members {
					eps = append(eps, m.Addr())
				}
				c := newTestClient(t, Config{Endpoints: eps, SpreadEvenly: even,
					BackoffWaitBetween: time.Millisecond})
				eventually(t, func() bool { // all are connected
					_, err := c.Get(t.Context(), "k")
					require.NoError(t, err)
					return members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0 &&
						members[2].Calls("Range") > 0
				}, "every member is asked")
				for _, m := range members[:refusing] {
					m.Fail("Put", etcdfake.Forever, tooManyOnTheWire)
				}
				for range 3 {
					_, err := c.Put(t.Context(), "k", "v")
					if refusing == len(members) {
						require.Equal(t, rpctypes.ErrTooManyRequests, err)
					} else {
						require.NoError(t, err)
					}
				}
				calls, applied := 0, 0
				for _, m := range members {
					calls += m.Calls("Put")
					applied += m.Applied("Put")
				}
				assert.LessOrEqual(t, calls, 3*len(members))
				if refusing == len(members) {
					assert.Equal(t, 3*len(members), calls)
				} else {
					assert.Equal(t, 3, applied)
				}
			})
		}
	}
}

// TestReadRefusedWithTooManyRequestsIsRepeated shows that a read is sent again until
// the member has caught up, and that a lone member's refusal of a write is final.
func TestReadRefusedWithTooManyRequestsIsRepeated(t *testing.T) {
	s, c := newFakeClient(t, Config{BackoffWaitBetween: time.Millisecond})
	s.Fail("Range", 3, tooManyOnTheWire)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, 4, s.Calls("Range"))

	s.Fail("Put", 1, tooManyOnTheWire)
	_, err = c.Put(t.Context(), "k", "v")
	assert.Equal(t, rpctypes.ErrTooManyRequests, err)
	assert.Equal(t, 1, s.Calls("Put"))
}
