package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestGetStreamWithinTheLimitOnResponses reads values of all sizes with a limit on
// responses that each of them is within, and a few of them are not. A server that
// streams does not know the limit, either.
func TestGetStreamWithinTheLimitOnResponses(t *testing.T) {
	for name, opts := range map[string][]etcdfake.Option{"streams": nil,
		"does not": {etcdfake.WithEtcd35()}} {
		t.Run(name, func(t *testing.T) {
			server := etcdfake.Start(t, opts...)
			writer := testclient.New(t, clientv3.Config{Endpoints: []string{server.Addr()}})
			client := testclient.New(t, clientv3.Config{Endpoints: []string{server.Addr()},
				MaxCallRecvMsgSize: 256 << 10})
			fill(t, writer, "k/1/", 200)
			for i := range 20 {
				mustPut(t, writer, fmt.Sprintf("k/2/%02d", i), strings.Repeat("v", 100<<10))
				mustPut(t, writer, fmt.Sprintf("k/3/%02d", i), strings.Repeat("v", 250<<10*(i%2)))
			}
			fill(t, writer, "k/4/", 200)

			want, err := writer.Get(t.Context(), "k/", clientv3.WithPrefix())
			require.NoError(t, err)
			got, pieces := wholeStream(t, client, "k/", clientv3.WithPrefix())
			assert.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)))
			assert.Less(t, server.Calls("Range"), 2*pieces, "few pages are asked for in vain")

			mustPut(t, writer, "k/4", strings.Repeat("v", 300<<10))
			stream, err := client.GetStream(t.Context(), "k/", clientv3.WithPrefix())
			require.NoError(t, err)
			_, err = clientv3.GetStreamToGetResponse(stream)
			assert.Equal(t, codes.ResourceExhausted, status.Code(err), "one key is over the limit")
		})
	}
}
