package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"slipway/lab/terraform-provider-aws/schema"
)

// archive is what was wanted of an npm package: where it came from, and some of its modules' sources.
type archive struct {
	origin  schema.Origin
	modules map[string][]byte
}

func readArchive(file string, folders []string) (archive, error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return archive{}, err
	}
	digest := sha512.Sum512(packed)
	result := archive{modules: map[string][]byte{}}

	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return archive{}, fmt.Errorf("%s: %w", file, err)
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return archive{}, fmt.Errorf("%s: %w", file, err)
		}
		name := strings.TrimPrefix(entry.Name, "package/")
		folder := strings.TrimSuffix(strings.TrimPrefix(name, "lib/"), "/index.js")
		isModule := name == "lib/"+folder+"/index.js" && slices.Contains(folders, folder)
		if !isModule && name != "package.json" {
			continue
		}
		text, err := io.ReadAll(entries)
		if err != nil {
			return archive{}, fmt.Errorf("%s: %s: %w", file, entry.Name, err)
		}
		if isModule {
			result.modules[folder] = text
			continue
		}
		if err := json.Unmarshal(text, &result.origin); err != nil {
			return archive{}, fmt.Errorf("%s: %s: %w", file, entry.Name, err)
		}
	}
	// The form in which npm publishes it, so that anybody can compare the two.
	result.origin.Integrity = "sha512-" + base64.StdEncoding.EncodeToString(digest[:])
	return result, nil
}

// source is the TypeScript that one module was compiled from.
func (a archive) source(folder string) (source, error) {
	compiled, ok := a.modules[folder]
	if !ok {
		return "", fmt.Errorf("%s %s has no module lib/%s", a.origin.Name, a.origin.Version, folder)
	}
	const mark = "//# sourceMappingURL=data:application/json;base64,"
	_, encoded, ok := strings.Cut(string(compiled), mark)
	if !ok {
		return "", fmt.Errorf("lib/%s/index.js holds no source map", folder)
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", fmt.Errorf("lib/%s/index.js: source map: %w", folder, err)
	}
	var sourceMap struct{ SourcesContent []string }
	if err := json.Unmarshal(decoded, &sourceMap); err != nil {
		return "", fmt.Errorf("lib/%s/index.js: source map: %w", folder, err)
	}
	if len(sourceMap.SourcesContent) != 1 {
		return "", fmt.Errorf("lib/%s/index.js: source map of %d sources", folder, len(sourceMap.SourcesContent))
	}
	return source(sourceMap.SourcesContent[0]), nil
}
