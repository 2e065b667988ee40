// Package keystate decides, for one key of a session of package concurrency, what that session may
// delete. It is pure data: the session guards a [State] by its mutex, makes the requests, and calls
// a method for each thing that happens.
//
// # Terms
//
// An incarnation is a key from its creation to its deletion. The create revision tells incarnations
// apart; each has a greater one than those before it, and at most one exists at a time. So a State
// has one record, for the newest incarnation that the session knows of: all earlier ones are gone.
//
// A put creates the key if it does not exist, and otherwise finds it. An uncertain put is one that
// may have been sent and has no answer. A member that was cut off or stopped may apply it at any
// later time, and the key would then block its queue for as long as the session lives.
//
// The users of an incarnation are the calls that wait with it and what they have acquired with it.
//
// # States of the record
//
//	state      event                                              next
//	none       a put has created or found an incarnation          in use
//	in use     another put finds it                               in use, by one more
//	in use     a user leaves, and others remain                   in use
//	in use     the last user fails; the session has made it       to delete
//	in use     the last user fails; the session has found it      known, and left alone
//	in use     Unlock begins                                      ended: later puts do not use it
//	any        Unlock or Resign is answered                       gone
//	any        Unlock or Resign has failed; Discard               to delete
//	none       clean-up sees what an uncertain put has made       to delete
//	to delete  it was deleted, or is not what it was              gone
//	to delete  the server denies it                               denied: puts do not use it
//	to delete  another session on the lease has put its own mark  in use: this session found it
//	           on it, and a put of this session finds that
//	gone       a put has created or found a newer incarnation     in use
//
// # Proofs
//
// A session deletes only what it can prove to have made:
//
//   - The answer of a put says that it has created the key.
//   - The value of a mutex's key begins with the nonce of the session that has made it. Another
//     session on the lease, which finds it, puts its own nonce on it before it uses it.
//   - The value of a candidate's key is the user's. A key with the value of an uncertain put proves
//     that this put has made it only while no other session uses the lease, and while no other put
//     is under way. So on a lease that the session was given, and once the session is orphaned,
//     there are no uncertain puts for it.
//   - The name of a discarded key is used by no other put.
//
// # Invariants
//
//   - An incarnation that has users is not deleted by this session, except by Unlock and Resign.
//   - An incarnation to delete, ended, denied or gone gets no users. A put that finds it deletes it
//     and puts again, also if its answer comes late.
//   - What was found and not made is deleted by Unlock and Resign only.
//   - A [Version] names what is to be deleted. That of a mutex's key changes when another session
//     puts its mark on it; so a deletion that is applied late deletes nothing that came after it.
//   - There are never fewer uncertain puts than requests that may still be applied, until the
//     session gives up on them: one is taken away only for an incarnation that it has made.
//   - After Orphan the session no longer looks for what uncertain puts make. It deletes only
//     versions that it knows. A candidate's key is deleted only by the failure of a call that has
//     made it.
package keystate
