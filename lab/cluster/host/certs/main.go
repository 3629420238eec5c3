// Certs makes the certificates of a lab: an authority for the cluster, one for the API server's own requests to extensions, a
// key pair that signs service account tokens, and what is asked for on standard input.
//
//	certs FOLDER < requests
//
// What is there already is left alone, so that a lab that grows keeps its identity.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// request is one certificate. The key goes to the same path with the ending `.key`, the certificate with `.crt`.
type request struct {
	// Path is where, without an ending.
	Path string `json:"path"`
	// Authority is the authority's name: `ca` or `front-proxy-ca`.
	Authority string `json:"authority"`
	// Name and Groups are whom Kubernetes takes the holder for.
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
	// Hosts are the names and addresses that it serves under; none for a client.
	Hosts []string `json:"hosts"`
}

// authority signs.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// validity is long for a lab, and short enough that nobody mistakes it for anything else.
const validity = 365 * 24 * time.Hour

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "certs: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: certs FOLDER < requests")
	}
	folder := os.Args[1]
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		return fmt.Errorf("the requests: %w", err)
	}
	authorities := map[string]*authority{}
	for _, name := range []string{"ca", "front-proxy-ca"} {
		made, err := obtain(filepath.Join(folder, name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		authorities[name] = made
	}
	if err := tokens(filepath.Join(folder, "sa")); err != nil {
		return err
	}
	for _, request := range requests {
		signer, known := authorities[request.Authority]
		if !known {
			return fmt.Errorf("%s: no authority `%s`", request.Path, request.Authority)
		}
		if err := issue(signer, request); err != nil {
			return fmt.Errorf("%s: %w", request.Path, err)
		}
	}
	return nil
}

// obtain loads an authority, or makes it.
func obtain(path string) (*authority, error) {
	if block, err := load(path + ".crt"); err == nil {
		certificate, err := x509.ParseCertificate(block)
		if err != nil {
			return nil, err
		}
		bytes, err := load(path + ".key")
		if err != nil {
			return nil, err
		}
		key, err := x509.ParseECPrivateKey(bytes)
		return &authority{certificate, key}, err
	}
	key, err := newKey(path)
	if err != nil {
		return nil, err
	}
	template, err := template("lab " + filepath.Base(path))
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	bytes, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(bytes)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, save(path+".crt", "CERTIFICATE", bytes)
}

func issue(signer *authority, request request) error {
	if _, err := os.Stat(request.Path + ".crt"); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(request.Path), 0o700); err != nil {
		return err
	}
	key, err := newKey(request.Path)
	if err != nil {
		return err
	}
	template, err := template(request.Name)
	if err != nil {
		return err
	}
	template.Subject.Organization = request.Groups
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(request.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range request.Hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	bytes, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, key.Public(), signer.key)
	if err != nil {
		return err
	}
	// Last, because it is what says that the pair is whole.
	return save(request.Path+".crt", "CERTIFICATE", bytes)
}

// tokens makes the key pair of service account tokens.
func tokens(path string) error {
	if _, err := os.Stat(path + ".pub"); err == nil {
		return nil
	}
	key, err := newKey(path)
	if err != nil {
		return err
	}
	bytes, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return save(path+".pub", "PUBLIC KEY", bytes)
}

func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		// A clock that is a little behind must not refuse it.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(validity),
	}, nil
}

func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, save(path+".key", "EC PRIVATE KEY", bytes)
}

func load(path string) ([]byte, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(bytes)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}

// save puts the file in its place whole.
func save(path, kind string, bytes []byte) error {
	beside := path + ".new"
	if err := os.WriteFile(beside, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
