package retry

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestProofThatNothingWasSent: NothingSent returns true only if there was a request and no attempt
// of any request can have reached a server.
func TestProofThatNothingWasSent(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "gone")
	unsent, sent, served := outcome{unavailable, false}, outcome{unavailable, true},
		outcome{nil, true}
	for name, tc := range map[string]struct {
		requests [][]outcome
		want     bool
	}{
		"no request":                 {nil, false},
		"unsent":                     {[][]outcome{{unsent}}, true},
		"sent":                       {[][]outcome{{sent}}, false},
		"unsent, then sent":          {[][]outcome{{unsent, unsent, sent}}, false},
		"served":                     {[][]outcome{{served}}, false},
		"unsent, then served":        {[][]outcome{{unsent, served}}, false},
		"two requests, both unsent":  {[][]outcome{{unsent}, {unsent}}, true},
		"two requests, one served":   {[][]outcome{{unsent}, {served}}, false},
		"two requests, one was sent": {[][]outcome{{sent}, {unsent}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, proof := WithProof(t.Context())
				for _, script := range tc.requests {
					c, _, _ := newConn(t, 3, script...)
					_ = c.Invoke(ctx, pb.KV_Put_FullMethodName, putReq, nil)
				}
				assert.Equal(t, tc.want, proof.NothingSent())
			})
		})
	}
	ctx, proof := WithProof(t.Context())
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	c, _, _ := newConn(t, 3, served)
	assert.Error(t, c.Invoke(ctx, pb.KV_Put_FullMethodName, putReq, nil))
	assert.True(t, proof.NothingSent(), "the context had ended before")
}
