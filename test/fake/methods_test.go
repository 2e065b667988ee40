package fake_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// byHand has the methods that TestEveryMethodAnswersAnEmptyRequest skips, because the responses of
// two servers to these methods are never equal. Each value says which other test compares the
// method.
var byHand = map[string]string{
	pb.Watch_Watch_FullMethodName:          "every history has watches",
	pb.Maintenance_Snapshot_FullMethodName: "etcdutl restores it",
}

// The fake serves every method of etcd's services and answers an empty request as etcd does. The
// test fails if a new version of etcd adds a method that the fake does not have.
func TestEveryMethodAnswersAnEmptyRequest(t *testing.T) {
	p := newPair(t)
	for _, m := range methodsOf(t, pb.File_rpc_proto) {
		p.about = m.name
		switch {
		case byHand[m.name] != "":
		case m.desc.IsStreamingClient() || m.desc.IsStreamingServer():
			p.stream("", m.name, m.request, m.response, m.desc.IsStreamingClient())
		default:
			_, err := p.call("", m.name, m.request, m.response)
			if m.name == pb.Auth_AuthEnable_FullMethodName {
				require.Error(t, err)
			}
		}
	}
}

// The fake's health service knows only the empty service name, which stands for the whole server.
func TestHealthIsEtcds(t *testing.T) {
	p := newPair(t)
	for _, service := range []string{"", "etcdserverpb.KV"} {
		p.call("", healthpb.Health_Check_FullMethodName,
			&healthpb.HealthCheckRequest{Service: service}, new(healthpb.HealthCheckResponse))
	}
	p.call("", healthpb.Health_List_FullMethodName, new(healthpb.HealthListRequest),
		new(healthpb.HealthListResponse))
}

// TestEveryMethodHasAName: [etcdfake.Cluster.Calls] accepts the full name of every method. For
// etcd's own services it also accepts the name without the service.
func TestEveryMethodHasAName(t *testing.T) {
	c := etcdfake.New(t)
	for _, file := range []protoreflect.FileDescriptor{pb.File_rpc_proto,
		healthpb.File_grpc_health_v1_health_proto} {
		for _, m := range methodsOf(t, file) {
			assert.Zero(t, c.Calls(etcdfake.Method(m.name)))
			if file == pb.File_rpc_proto {
				assert.Zero(t, c.Calls(etcdfake.Method(m.desc.Name())))
			}
		}
	}
}

type method struct {
	name              string
	desc              protoreflect.MethodDescriptor
	request, response proto.Message
}

func methodsOf(t *testing.T, file protoreflect.FileDescriptor) (all []method) {
	t.Helper()
	empty := func(name protoreflect.FullName) proto.Message {
		typ, err := protoregistry.GlobalTypes.FindMessageByName(name)
		require.NoError(t, err)
		return typ.New().Interface()
	}
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		for j := range service.Methods().Len() {
			desc := service.Methods().Get(j)
			all = append(all, method{name: "/" + string(service.FullName()) + "/" +
				string(desc.Name()), desc: desc, request: empty(desc.Input().FullName()),
				response: empty(desc.Output().FullName())})
		}
	}
	require.NotEmpty(t, all)
	return all
}
