// Registry is the lab's image registry (CNCF distribution), and what puts images into it.
//
//	registry serve CONFIGURATION         serves
//	registry push SOURCE REFERENCE       pushes an OCI layout (a folder), what `docker save` wrote, or an image made of one
//	                                     static program; prints the digest
//
// The registry is reached without TLS: it listens inside a lab and on the host's loopback device.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "registry: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		registry.RootCmd.SetArgs(args)
		return registry.RootCmd.Execute()
	case len(args) == 3 && args[0] == "push":
		return push(args[1], args[2])
	}
	return errors.New("usage: registry serve CONFIGURATION | push SOURCE REFERENCE")
}

func push(source, reference string) error {
	to, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err
	}
	about, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !about.IsDir() {
		if isProgram(source) {
			return wrap(source, to)
		}
		image, err := tarball.ImageFromPath(source, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		return pushed(to, image, remote.Write(to, image))
	}
	index, err := layout.ImageIndexFromPath(source)
	if err != nil {
		return fmt.Errorf("%s is no OCI layout: %w", source, err)
	}
	content, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	if len(content.Manifests) != 1 {
		return fmt.Errorf("%s: index.json has %d manifests, and one is wanted", source, len(content.Manifests))
	}
	only := content.Manifests[0]
	if only.MediaType.IsIndex() {
		many, err := index.ImageIndex(only.Digest)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		return pushed(to, many, remote.WriteIndex(to, many))
	}
	image, err := index.Image(only.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return pushed(to, image, remote.Write(to, image))
}

// isProgram looks for the first bytes of an executable file of Linux.
func isProgram(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	magic := make([]byte, 4)
	_, err = io.ReadFull(file, magic)
	return err == nil && string(magic) == "\x7fELF"
}

// wrap makes the same image of the same program, byte for byte.
func wrap(program string, to name.Reference) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	inside := filepath.Base(program)
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header := &tar.Header{Name: inside, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	if _, err := writer.Write(content); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return err
	}
	settings := &v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Config:       v1.Config{Entrypoint: []string{"/" + inside}, User: "65532:65532"},
	}
	described, err := image.ConfigFile()
	if err != nil {
		return err
	}
	settings.RootFS = described.RootFS
	image, err = mutate.ConfigFile(mutate.ConfigMediaType(image, types.OCIConfigJSON), settings)
	if err != nil {
		return err
	}
	return pushed(to, image, remote.Write(to, image))
}

// pushed says what is there now.
func pushed(to name.Reference, what interface{ Digest() (v1.Hash, error) }, err error) error {
	if err != nil {
		return fmt.Errorf("cannot push to %s: %w", to, err)
	}
	digest, err := what.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
