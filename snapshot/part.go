package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// partFile is a file that is written under a temporary name, in the directory of its final path.
// commit renames it to that path. Only the file's owner can read it.
type partFile struct {
	*os.File
	path string
}

// createPart makes the part file for path. The name of the part file is unique, so that two saves
// to one path do not write into one file.
func createPart(path string) (*partFile, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), partPattern(filepath.Base(path))) // with mode 0600
	if err != nil {
		return nil, err
	}
	return &partFile{File: f, path: path}, nil
}

// partPattern returns the pattern of os.CreateTemp for part files of base. It cuts a longer
// base to 200 bytes. File systems allow names of 255 bytes or characters, and the pattern and
// CreateTemp add up to 16.
func partPattern(base string) string {
	const longest = 200
	if len(base) > longest {
		base = strings.ToValidUTF8(base[:longest], "") // some file systems accept valid UTF-8 only
	}
	return base + ".*.part"
}

// commit flushes the file to the disk and renames it to its final path, where it replaces an
// existing file. If commit fails before the rename, it removes the part file.
func (p *partFile) commit() error {
	err := cmp.Or(p.Sync(), p.Close())
	if err == nil {
		err = os.Rename(p.Name(), p.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(p.Name()))
	}
	return syncDir(filepath.Dir(p.path))
}

// discard closes and removes the part file.
func (p *partFile) discard() error {
	return errors.Join(p.Close(), os.Remove(p.Name()))
}

// syncDir flushes dir to the disk, so that a rename in dir survives a crash. If the flush is
// impossible, syncDir returns nil, because the rename was already done:
//
//   - Windows has no call for the flush. It keeps names in a journal.
//   - Some file systems refuse the call.
//   - Some directories can be written to but not opened.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
