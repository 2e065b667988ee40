package clientv3

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// These types are AlarmMember and the responses of the Maintenance methods. Each is a protobuf
// message of etcd's Maintenance service under a name of this package.
type (
	// AlarmMember is one alarm that one member has raised.
	AlarmMember pb.AlarmMember
	// AlarmResponse is the answer to AlarmList and AlarmDisarm.
	AlarmResponse pb.AlarmResponse
	// StatusResponse is the answer to Status.
	StatusResponse pb.StatusResponse
	// DefragmentResponse is the answer to Defragment.
	DefragmentResponse pb.DefragmentResponse
	// HashKVResponse is the answer to HashKV.
	HashKVResponse pb.HashKVResponse
	// MoveLeaderResponse is the answer to MoveLeader.
	MoveLeaderResponse pb.MoveLeaderResponse

	// DowngradeAction is what a call of Downgrade does: validate, start or cancel a downgrade.
	DowngradeAction pb.DowngradeRequest_DowngradeAction
	// DowngradeResponse is the answer to Downgrade.
	DowngradeResponse pb.DowngradeResponse
)

// The actions of Downgrade.
const (
	DowngradeEnable   = DowngradeAction(pb.DowngradeRequest_ENABLE)   // start a downgrade
	DowngradeCancel   = DowngradeAction(pb.DowngradeRequest_CANCEL)   // cancel a downgrade
	DowngradeValidate = DowngradeAction(pb.DowngradeRequest_VALIDATE) // only validate a downgrade
)

// SnapshotResponse is the answer to SnapshotWithVersion. The program reads the database from
// Snapshot.
type SnapshotResponse struct {
	// Header is the header of the first part of the snapshot. It is nil if the server sent none.
	Header *pb.ResponseHeader
	// Snapshot yields the database file followed by its SHA-256. The caller must close it.
	Snapshot io.ReadCloser
	// Version is the etcd version whose storage format the snapshot has. Servers before 3.6, and
	// servers that have just started, send "".
	Version string
}

// Maintenance has the requests for the maintenance of the cluster's members. Its methods are safe
// for concurrent use. Each blocks until its request is answered or ctx ends.
//
// A method with the parameter endpoint makes a new connection to that endpoint for its request. It
// changes neither the client's endpoints nor the client's token.
//
// The requests of AlarmList, Status and HashKV, and the request that starts a snapshot, are sent
// again while no member can serve them. The other requests are sent again only if it is certain
// that no server applied them.
//
// If ctx has ended, the error of a call is the error of ctx. Other errors are errors of package
// rpctypes or gRPC statuses. While authentication is enabled, all methods but AlarmList and Status
// need a user with the role "root"; other users get [rpctypes.ErrPermissionDenied].
type Maintenance interface {
	// AlarmList returns the alarms that are raised in the cluster.
	AlarmList(ctx context.Context) (*AlarmResponse, error)

	// AlarmDisarm disarms an alarm. The zero AlarmMember means all alarms that AlarmList returns.
	// The answer has the alarms that were disarmed. If AlarmDisarm returns an error, some of the
	// alarms may have been disarmed.
	AlarmDisarm(ctx context.Context, m *AlarmMember) (*AlarmResponse, error)

	// Defragment rewrites the database of the member at endpoint. Defragment can take long, and the
	// member serves no other request until Defragment has finished. So defragment one member at a
	// time.
	Defragment(ctx context.Context, endpoint string) (*DefragmentResponse, error)

	// Status returns the state of the member at endpoint. It works without a quorum.
	Status(ctx context.Context, endpoint string) (*StatusResponse, error)

	// HashKV returns the hash of the key history of the member at endpoint, up to revision rev; 0
	// means the latest revision. To compare two members, ask both for the same rev. If their
	// answers have the same CompactRevision but different hashes, their data differ.
	//
	// HashKV returns [rpctypes.ErrCompacted] if rev was compacted, and [rpctypes.ErrFutureRev] if
	// rev does not exist yet.
	HashKV(ctx context.Context, endpoint string, rev int64) (*HashKVResponse, error)

	// SnapshotWithVersion starts a snapshot of the database of a member at one of the client's
	// endpoints. It blocks until the first part of the snapshot arrives. Nothing verifies the data;
	// package snapshot makes a verified copy.
	//
	// The program reads the data from the field Snapshot of the response. Each Read blocks until
	// data arrive, and returns io.EOF after the end of the data. It returns the error of ctx after
	// ctx has ended, and the error of the stream after the stream has failed. Only one goroutine
	// may read at a time.
	//
	// The caller must close the reader or end ctx. Close ends the request, even while a Read
	// blocks.
	SnapshotWithVersion(ctx context.Context) (*SnapshotResponse, error)

	// Snapshot is like SnapshotWithVersion, but returns only the reader.
	//
	// Deprecated: use SnapshotWithVersion, whose version says which etcd can restore the snapshot.
	Snapshot(ctx context.Context) (io.ReadCloser, error)

	// MoveLeader makes the member transfereeID the leader. The current leader's endpoint must be
	// the client's only endpoint, because other members answer [rpctypes.ErrNotLeader]. MoveLeader
	// returns [rpctypes.ErrBadLeaderTransferee] if transfereeID is not a voting member.
	MoveLeader(ctx context.Context, transfereeID uint64) (*MoveLeaderResponse, error)

	// Downgrade validates, starts or cancels a downgrade of the cluster; action says which of the
	// three, and version names the target, such as "3.6.0". The answer has the cluster's version.
	// If action is DowngradeCancel and no downgrade is under way, there is no error. For an unknown
	// action, Downgrade returns an error and sends nothing. Other errors:
	//
	//   - [rpctypes.ErrInvalidDowngradeTargetVersion]: the cluster cannot be downgraded to that
	//     version.
	//   - [rpctypes.ErrDowngradeInProcess]: a downgrade is under way already.
	//   - [rpctypes.ErrWrongDowngradeVersionFormat]: the version is malformed.
	Downgrade(
		ctx context.Context, action DowngradeAction, version string,
	) (*DowngradeResponse, error)
}

type maintenance struct {
	remote pb.MaintenanceClient
	client *Client // may be nil; askMember's requests end when the client is closed
	dials  bool    // askMember dials its endpoint; if false, askMember sends through remote
}

// NewMaintenance returns a Maintenance that sends its requests through c. A Client made by New
// already embeds such a Maintenance.
func NewMaintenance(c *Client) Maintenance {
	return &maintenance{remote: pb.NewMaintenanceClient(c.rpc), client: c, dials: true}
}

// NewMaintenanceFromMaintenanceClient returns a Maintenance that sends all requests through remote,
// such as a stub of a server in the same process. Its methods ignore their argument endpoint. Calls
// with this argument end when c is closed; c may be nil.
func NewMaintenanceFromMaintenanceClient(remote pb.MaintenanceClient, c *Client) Maintenance {
	return &maintenance{remote: remote, client: c}
}

func (m *maintenance) AlarmList(ctx context.Context) (*AlarmResponse, error) {
	return m.alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
}

func (m *maintenance) AlarmDisarm(ctx context.Context, am *AlarmMember) (*AlarmResponse, error) {
	if am == nil {
		return nil, errors.New("etcdclient: AlarmDisarm of a nil alarm")
	}
	if am.MemberID != 0 || am.Alarm != pb.AlarmType_NONE {
		return m.disarm(ctx, am.MemberID, am.Alarm)
	}
	listed, err := m.AlarmList(ctx)
	if err != nil {
		return nil, err
	}
	all := &AlarmResponse{Header: listed.Header}
	for _, a := range listed.Alarms {
		resp, err := m.disarm(ctx, a.GetMemberID(), a.GetAlarm())
		if err != nil {
			return nil, err
		}
		all.Header = resp.Header
		all.Alarms = append(all.Alarms, resp.Alarms...)
	}
	return all, nil
}

func (m *maintenance) disarm(
	ctx context.Context, member uint64, alarm pb.AlarmType,
) (*AlarmResponse, error) {
	return m.alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: member,
		Alarm: alarm})
}

func (m *maintenance) alarm(ctx context.Context, req *pb.AlarmRequest) (*AlarmResponse, error) {
	resp, err := unary(ctx, m.remote.Alarm, req)
	return (*AlarmResponse)(resp), err
}

// askMember sends one request to the member at endpoint, and returns its answer. No other member
// can answer, so askMember retries like a client with one endpoint. The request also ends when the
// client is closed, although the client's Close does not close the connection that askMember dials.
func askMember[Req, Resp any](ctx context.Context, m *maintenance, endpoint string,
	method func(pb.MaintenanceClient, context.Context, *Req, ...grpc.CallOption) (*Resp, error),
	req *Req,
) (*Resp, error) {
	remote := m.remote
	if m.dials {
		conn, err := m.client.Dial(endpoint)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		cfg := m.client.retryConfig()
		cfg.Endpoints = func() int { return 1 }
		remote = pb.NewMaintenanceClient(retry.New(conn, cfg))
	}
	ctx, cancel := await.Join(ctx, m.client.Ctx())
	defer cancel()
	return unary(ctx, func(ctx context.Context, req *Req, opts ...grpc.CallOption) (*Resp, error) {
		return method(remote, ctx, req, opts...)
	}, req)
}

func (m *maintenance) Defragment(
	ctx context.Context, endpoint string,
) (*DefragmentResponse, error) {
	resp, err := askMember(ctx, m, endpoint, pb.MaintenanceClient.Defragment,
		&pb.DefragmentRequest{})
	return (*DefragmentResponse)(resp), err
}

func (m *maintenance) Status(ctx context.Context, endpoint string) (*StatusResponse, error) {
	resp, err := askMember(ctx, m, endpoint, pb.MaintenanceClient.Status, &pb.StatusRequest{})
	return (*StatusResponse)(resp), err
}

func (m *maintenance) HashKV(
	ctx context.Context, endpoint string, rev int64,
) (*HashKVResponse, error) {
	resp, err := askMember(ctx, m, endpoint, pb.MaintenanceClient.HashKV,
		&pb.HashKVRequest{Revision: rev})
	return (*HashKVResponse)(resp), err
}

func (m *maintenance) MoveLeader(
	ctx context.Context, transfereeID uint64,
) (*MoveLeaderResponse, error) {
	resp, err := unary(ctx, m.remote.MoveLeader, &pb.MoveLeaderRequest{TargetID: transfereeID})
	return (*MoveLeaderResponse)(resp), err
}

func (m *maintenance) Downgrade(
	ctx context.Context, action DowngradeAction, version string,
) (*DowngradeResponse, error) {
	if _, ok := pb.DowngradeRequest_DowngradeAction_name[int32(action)]; !ok {
		return nil, fmt.Errorf("etcdclient: unknown downgrade action %d", action)
	}
	resp, err := unary(ctx, m.remote.Downgrade, &pb.DowngradeRequest{
		Action:  pb.DowngradeRequest_DowngradeAction(action),
		Version: version,
	})
	return (*DowngradeResponse)(resp), err
}
