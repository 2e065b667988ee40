package etcdfake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// authTable holds users, roles and tokens. Permissions are kept but not enforced: every valid token
// may do everything. The mutex of the state it belongs to guards it.
type authTable struct {
	enabled  bool
	revision uint64
	users    map[string]*authUser
	roles    map[string]*authpb.Role
	tokens   map[string]error // nil: valid; otherwise what its use is answered with
	issued   int
}

type authUser struct {
	password string
	roles    []string
}

func newAuthTable() authTable {
	return authTable{
		revision: 1,
		users:    make(map[string]*authUser),
		roles:    make(map[string]*authpb.Role),
		tokens:   make(map[string]error),
	}
}

// check refuses calls without a valid token once authentication is enabled.
func (a *authTable) check(ctx context.Context) error {
	if !a.enabled {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	tokens := md.Get(rpctypes.TokenFieldNameGRPC)
	if len(tokens) == 0 {
		return rpctypes.ErrGRPCUserEmpty
	}
	err, known := a.tokens[tokens[0]]
	if !known {
		return rpctypes.ErrGRPCInvalidAuthToken
	}
	return err
}

// unchecked are the methods that need no token, or that check it per message.
var unchecked = map[string]bool{
	pb.Auth_Authenticate_FullMethodName:    true,
	pb.Auth_AuthStatus_FullMethodName:      true,
	pb.Watch_Watch_FullMethodName:          true,
	pb.Lease_LeaseKeepAlive_FullMethodName: true,
}

func (st *state) checkToken(ctx context.Context, method string) error {
	if unchecked[method] || !strings.HasPrefix(method, etcdPrefix) {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.auth.check(ctx)
}

// EnableAuth adds a user and turns authentication on: from now on calls need a token of
// Authenticate. Watches are refused one by one, as in etcd; keepalives and the health service need
// no token.
func (s *Server) EnableAuth(user, password string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.auth.users[user] = &authUser{password: password}
	s.state.auth.enabled = true
}

// DisableAuth turns authentication off.
func (s *Server) DisableAuth() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.auth.enabled = false
}

// ExpireTokens makes all tokens issued so far be answered with err, or with the invalid token error
// when it is nil.
func (s *Server) ExpireTokens(err error) {
	if err == nil {
		err = rpctypes.ErrGRPCInvalidAuthToken
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for token := range s.state.auth.tokens {
		s.state.auth.tokens[token] = err
	}
}

func (st *state) authenticateLocked(req *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	if !st.auth.enabled {
		return nil, rpctypes.ErrGRPCAuthNotEnabled
	}
	user := st.auth.users[req.Name]
	if user == nil || user.password != req.Password {
		return nil, rpctypes.ErrGRPCAuthFailed
	}
	st.auth.issued++
	token := fmt.Sprintf("fake-token.%d", st.auth.issued)
	st.auth.tokens[token] = nil
	return &pb.AuthenticateResponse{Token: token}, nil
}

func (st *state) authEnableLocked(*pb.AuthEnableRequest) error {
	if st.auth.users["root"] == nil {
		return rpctypes.ErrGRPCRootUserNotExist
	}
	st.auth.enabled = true
	return nil
}

func (st *state) authDisableLocked(*pb.AuthDisableRequest) error {
	st.auth.enabled = false
	return nil
}

func (st *state) authStatusLocked(*pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return &pb.AuthStatusResponse{Enabled: st.auth.enabled,
		AuthRevision: st.auth.revision}, nil
}

func (a *authTable) user(name string) (*authUser, error) {
	if u := a.users[name]; u != nil {
		return u, nil
	}
	return nil, rpctypes.ErrGRPCUserNotFound
}

func (a *authTable) role(name string) (*authpb.Role, error) {
	if r := a.roles[name]; r != nil {
		return r, nil
	}
	return nil, rpctypes.ErrGRPCRoleNotFound
}

// names are the keys of a table in order.
func names[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }
