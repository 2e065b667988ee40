package store

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	root = "root" // the name of the user and of the role that may do everything
	// maxPassword is the maximum length of a password in bytes. It is the limit of bcrypt, with
	// which etcd hashes passwords.
	maxPassword = 72
)

// authTable holds users, roles and tokens.
type authTable struct {
	enabled  bool
	revision uint64
	users    map[string]*user
	roles    map[string]*authpb.Role
	tokens   map[string]*token
	issued   int
}

type user struct {
	password string
	// canLogin is false if the user was added without a password. A later change of the password
	// sets canLogin: to false if the new password is "", and to true otherwise.
	canLogin   bool
	noPassword bool // the user was added without a password; never changes
	roles      []string
}

type token struct {
	user   string
	expiry time.Time
}

// identity is the user whose token a request has. A nil *identity means that the request has no
// token, or that authentication is off.
type identity struct {
	name     string
	revision uint64 // the auth revision when the token was checked
}

func newAuthTable() authTable {
	return authTable{revision: 1, users: make(map[string]*user),
		roles: make(map[string]*authpb.Role), tokens: make(map[string]*token)}
}

// identify returns the user of the caller's token. It returns nil while authentication is off, or
// if the request has no token. It returns ErrGRPCInvalidAuthToken if the token is unknown or has
// expired.
func (s *Store) identify(c Caller) (*identity, error) {
	if !s.auth.enabled || len(c.Tokens) == 0 {
		return nil, nil
	}
	name := strings.TrimPrefix(c.Tokens[0], "Bearer ")
	now := s.cfg.Now()
	t := s.auth.tokens[name]
	if t == nil || now.After(t.expiry) {
		delete(s.auth.tokens, name)
		return nil, rpctypes.ErrGRPCInvalidAuthToken
	}
	t.expiry = now.Add(s.cfg.TokenTTL)
	return &identity{name: t.user, revision: s.auth.revision}, nil
}

// requireIdentity returns an error if authentication is on and the request has no valid token.
func (s *Store) requireIdentity(c Caller) error {
	if !s.auth.enabled {
		return nil
	}
	who, err := s.identify(c)
	if err == nil && who == nil {
		err = rpctypes.ErrGRPCUserEmpty
	}
	return err
}

// admin returns an error if authentication is on and the user of the request does not have the role
// root.
func (s *Store) admin(c Caller) error {
	who, err := s.identify(c)
	if err != nil {
		return err
	}
	return s.auth.isAdmin(who)
}

func (a *authTable) isAdmin(who *identity) error {
	if !a.enabled {
		return nil
	}
	if who == nil || who.name == "" {
		return rpctypes.ErrGRPCUserEmpty
	}
	switch u := a.users[who.name]; {
	case u == nil:
		return rpctypes.ErrGRPCUserNotFound
	case !slices.Contains(u.roles, root):
		return rpctypes.ErrGRPCPermissionDenied
	}
	return nil
}

// proposeAdmin proposes a change of users or roles. It returns an error if authentication is on and
// the user of the request does not have the role root.
func (s *Store) proposeAdmin(c Caller) error {
	who, err := s.propose(c, &pb.InternalRaftRequest{})
	if err != nil {
		return err
	}
	return s.auth.isAdmin(who)
}

// ExpireTokens invalidates all authentication tokens that the store has issued so far.
func (s *Store) ExpireTokens() {
	s.enter()
	defer s.leave()
	clear(s.auth.tokens)
}

func (a *authTable) dropTokensOf(name string) {
	maps.DeleteFunc(a.tokens, func(_ string, t *token) bool { return t.user == name })
}

func (s *Store) callAuthenticate(
	c Caller, req *pb.AuthenticateRequest,
) (*pb.AuthenticateResponse, error) {
	if !s.auth.enabled {
		return nil, rpctypes.ErrGRPCAuthNotEnabled
	}
	u := s.auth.users[req.Name]
	switch {
	case u == nil:
		return nil, rpctypes.ErrGRPCAuthFailed
	case u.noPassword:
		return nil, status.Error(codes.Unknown,
			"auth: authentication failed, password was given for no password user")
	case !u.canLogin || u.password != req.Password:
		return nil, rpctypes.ErrGRPCAuthFailed
	}
	s.auth.issued++
	s.index++
	name := "fake" + strconv.Itoa(s.auth.issued) + "." + strconv.FormatUint(s.index, 10)
	s.auth.tokens[name] = &token{user: req.Name, expiry: s.cfg.Now().Add(s.cfg.TokenTTL)}
	return &pb.AuthenticateResponse{Header: s.header(c), Token: name}, nil
}

func (s *Store) callAuthEnable(
	c Caller, _ *pb.AuthEnableRequest,
) (*pb.AuthEnableResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	if !s.auth.enabled {
		switch u := s.auth.users[root]; {
		case u == nil:
			return nil, rpctypes.ErrGRPCRootUserNotExist
		case !slices.Contains(u.roles, root):
			return nil, rpctypes.ErrGRPCRootRoleNotExist
		}
		s.auth.enabled = true
	}
	return &pb.AuthEnableResponse{Header: s.header(c)}, nil
}

func (s *Store) callAuthDisable(
	c Caller, _ *pb.AuthDisableRequest,
) (*pb.AuthDisableResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	if s.auth.enabled {
		s.auth.enabled = false
		s.auth.revision++
		clear(s.auth.tokens)
	}
	return &pb.AuthDisableResponse{Header: s.header(c)}, nil
}

func (s *Store) callAuthStatus(
	c Caller, _ *pb.AuthStatusRequest,
) (*pb.AuthStatusResponse, error) {
	if _, err := s.propose(c, &pb.InternalRaftRequest{}); err != nil {
		return nil, err
	}
	return &pb.AuthStatusResponse{Header: s.header(c), Enabled: s.auth.enabled,
		AuthRevision: s.auth.revision}, nil
}

func (a *authTable) user(name string) (*user, error) {
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

// checkPassword returns an error if a password is too long for bcrypt.
func checkPassword(password string) error {
	if len(password) > maxPassword {
		return status.Error(codes.Unknown,
			fmt.Sprintf("bcrypt: password length exceeds %d bytes", maxPassword))
	}
	return nil
}
