"""zoomin-app: a page in the browser that interpolates clips, or between two images."""
